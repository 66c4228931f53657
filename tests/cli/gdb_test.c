/* tests/cli/gdb_test.c: atoll run --gdb, met by a debugger that speaks the remote protocol as lldb does for
 * wasm. usage  gdb_test ATOLL */
#include "tests/cli/gdb_session.h"

static const char counter[] = "(module"
                              "  (memory (export \"memory\") 1)"
                              "  (global $g (mut i32) (i32.const 11))"
                              "  (global $d f64 (f64.const 0.5))"
                              "  (data (i32.const 16) \"hello\")"
                              "  (func $add (param $a i32) (param $b i64) (result i32)"
                              "    (local $v v128) (local $f f32) (local $r funcref)"
                              "    v128.const i32x4 1 2 3 4  local.set $v"
                              "    f32.const 1.5  local.set $f"
                              "    local.get $a  local.get $b  i32.wrap_i64  i32.add)"
                              "  (func $main (export \"_start\") (local $i i32)"
                              "    f64.const 2.5"
                              "    loop $again"
                              "      local.get $i  i64.const 5  call $add  local.tee $i"
                              "      i32.const 20  i32.lt_u  br_if $again"
                              "    end"
                              "    drop))";
#define ADD_SUM   7 /* i32.add is the 8th instruction of $add */
#define MAIN_CALL 4

/* ---- tests ---- */

static void it_stops_at_entry_and_describes_itself(void **state) {
    struct session s;
    (void)state;
    open_session(&s, counter, NULL, NULL);
    mentions(ask(&s, "qSupported:xmlRegisters=i386"), "PacketSize=1000;qXfer:libraries:read+");
    stands(ask(&s, "?"), "T05", place(&s, 1, 0), "trace");
    answers(&s, "QStartNoAckMode", "OK");
    s.no_acks = true;
    mentions(ask(&s, "qHostInfo"),
             "arch:wasm32;triple:7761736d33322d756e6b6e6f776e2d776173692d7761736d;endian:little;");
    mentions(ask(&s, "qProcessInfo"), "pid:1;");
    answers(&s, "qC", "QC1");
    answers(&s, "qfThreadInfo", "m1");
    answers(&s, "qsThreadInfo", "l");
    answers(&s, "qAttached", "0");
    mentions(ask(&s, "qRegisterInfo0"), "name:pc;");
    answers(&s, "qRegisterInfo1", "E45");
    answers(&s, "g", little_endian(place(&s, 1, 0)));
    answers(&s, "p0", little_endian(place(&s, 1, 0)));
    mentions(ask(&s, "vCont?"), "vCont;c;");
    mentions(ask(&s, "qXfer:libraries:read::0,fff"),
             "program.wat\"><section address=\"0x4000000000000000\"/>");
    assert_int_equal(s.reply[0], 'l');
    mentions(ask(&s, "qXfer:features:read:target.xml:0,fff"), "<reg name=\"pc\"");
    answers(&s, "qXfer:libraries:read::0,5", "m<libr");
    answers(&s, "qXfer:libraries:read::5,3", "mary");
    answers(&s, "qXfer:libraries:read::fffff,3", "l");
    answers(&s, "qSomethingNew", "");
    answers(&s, "vMustReplyEmpty", "");
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

static void memory_and_module_bytes_are_readable(void **state) {
    struct session s;
    (void)state;
    open_session(&s, counter, NULL, NULL);
    answers(&s, "m10,5", "68656c6c6f");
    answers(&s, "m4000000000000000,4", "0061736d");
    answers(&s, "mfffe,8", "0000"); /* up to the end */
    answers(&s, "m10000,1", "E0e");
    answers(&s, "mffffffffffffffff,1", "E0e");
    answers(&s, "m4000000100000000,1", "E0e"); /* there is no second instance */
    for (uint32_t at = 0; at < s.program->bytes.size; at += 16) {
        char digits[33] = "";
        uint32_t n = s.program->bytes.size - at < 16 ? (uint32_t)s.program->bytes.size - at : 16;
        for (uint32_t i = 0; i < n; i++) snprintf(digits + 2 * i, 3, "%02x", s.program->bytes.data[at + i]);
        answers(&s, format("m%llx,10", (unsigned long long)(OBJECT | at)), digits);
    }
    answers(&s, "M12,2:4c4c", "OK");
    answers(&s, "m10,5", "68654c4c6f");
    answers(&s, "Mffff,2:0000", "E0e");
    answers(&s, "M4000000000000000,1:00", "E0e"); /* code stays as it is */
    answers(&s, "qMemoryRegionInfo:1234", "start:0;size:10000;permissions:rw;");
    mentions(ask(&s, "qMemoryRegionInfo:4000000000000009"), "start:4000000000000000;size:");
    mentions(ask(&s, "qMemoryRegionInfo:10000"), "start:10000;size:ffff0000;");
    answers(&s, "D", "OK");
    assert_int_equal(close_session(&s), 0);
}

static void a_step_is_one_instruction(void **state) {
    struct session s;
    (void)state;
    open_session(&s, counter, NULL, NULL);
    stands(ask(&s, "?"), "T05", place(&s, 1, 0), "trace");
    for (unsigned i = 1; i <= MAIN_CALL; i++) stands(ask(&s, "s"), "T05", place(&s, 1, i), "trace");
    for (unsigned i = 0; i <= ADD_SUM + 1; i++) /* its end, too */
        stands(ask(&s, "vCont;s:1"), "T05", place(&s, 0, i), "trace");
    for (unsigned i = MAIN_CALL + 1; i <= MAIN_CALL + 4; i++)
        stands(ask(&s, "vCont;s:1"), "T05", place(&s, 1, i), "trace");
    stands(ask(&s, "s"), "T05", place(&s, 1, 2), "trace"); /* br_if to the loop's body */
    answers(&s, "s4000000000000000", "E01");
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

static void a_breakpoint_shows_frames_and_their_values(void **state) {
    struct session s;
    (void)state;
    open_session(&s, counter, NULL, NULL);
    const char *sum = format("Z0,%llx,1", (unsigned long long)place(&s, 0, ADD_SUM));
    answers(&s, sum, "OK");
    answers(&s, sum, "OK");
    for (unsigned i = 0; i < 2; i++) stands(ask(&s, "c"), "T05", place(&s, 0, ADD_SUM), "breakpoint");
    char stack[40];
    snprintf(stack, sizeof stack, "%s%s", little_endian(place(&s, 0, ADD_SUM)),
             little_endian(place(&s, 1, MAIN_CALL + 1)));
    answers(&s, "qWasmCallStack:1", stack);
    answers(&s, "qWasmLocal:0;0", "05000000");
    answers(&s, "qWasmLocal:0;1", "0500000000000000");
    answers(&s, "qWasmLocal:0;2", "01000000020000000300000004000000");
    answers(&s, "qWasmLocal:0;3", "0000c03f");
    answers(&s, "qWasmLocal:0;4", "E02"); /* references are not shown */
    answers(&s, "qWasmLocal:0;5", "E02");
    answers(&s, "qWasmLocal:1;0", "05000000");
    answers(&s, "qWasmLocal:2;0", "E02");
    answers(&s, "qWasmStackValue:0;0", "05000000");
    answers(&s, "qWasmStackValue:0;1", "05000000");
    answers(&s, "qWasmStackValue:0;2", "E02");
    answers(&s, "qWasmStackValue:1;0", "0000000000000440"); /* what the call did not take */
    answers(&s, "qWasmStackValue:1;1", "E02");
    answers(&s, "qWasmGlobal:0;0", "0b000000");
    answers(&s, "qWasmGlobal:1;1", "000000000000e03f");
    answers(&s, "qWasmGlobal:0;2", "E02");
    answers(&s, format("z0,%llx,1", (unsigned long long)place(&s, 0, ADD_SUM)), "OK");
    answers(&s, format("Z0,%llx,1", (unsigned long long)(OBJECT | s.program->m->funcs[0].body.offset)), "OK");
    stands(ask(&s, "c"), "T05", place(&s, 0, 0), "breakpoint"); /* its first instruction */
    answers(&s, format("z0,%llx,1", (unsigned long long)(OBJECT | s.program->m->funcs[0].body.offset)), "OK");
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

static void a_running_program_is_interrupted_and_let_go(void **state) {
    struct session s;
    (void)state;
    open_session(&s,
                 "(module (memory 1) (func (export \"_start\")"
                 " (loop $again (br_if $again (i32.eqz (i32.load (i32.const 64)))))))",
                 NULL, NULL);
    for (int i = 0; i < 3; i++) {
        put_packet(&s, "c");
        put(&s, "\3", 1);
        const char *stop = get_packet(&s);
        assert_memory_equal(stop, "T02", 3);
        mentions(stop, "reason:signal;");
    }
    answers(&s, "M40,4:01000000", "OK");
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

static const char endless[] = "(module (func (export \"_start\") (loop $again (br $again))))";

static void kill_ends_it_detach_lets_it_run(void **state) {
    struct session s;
    (void)state;
    open_session(&s, endless, NULL, NULL);
    answers(&s, "k", "X09");
    assert_int_equal(close_session(&s), 128 + 9);
    open_session(&s, endless, NULL, NULL);
    answers(&s, "vKill;1", "X09");
    assert_int_equal(close_session(&s), 128 + 9);
    open_session(&s, counter, NULL, NULL);
    answers(&s, format("Z0,%llx,1", (unsigned long long)place(&s, 0, 0)), "OK");
    answers(&s, "D", "OK");
    assert_int_equal(close_session(&s), 0);
}

static void a_debugger_that_goes_away_ends_the_program(void **state) {
    struct session s;
    (void)state;
    open_session(&s, endless, NULL, NULL); /* while it stands */
    ask(&s, "?");
    assert_int_equal(close_session(&s), 128 + 9);
    open_session(&s, endless, NULL, NULL); /* while it runs */
    put_packet(&s, "c");
    assert_int_equal(close_session(&s), 128 + 9);
}

static void a_trap_is_shown_where_it_happened(void **state) {
    struct session s;
    char core[100];
    (void)state;
    snprintf(core, sizeof core, "%s/core.wasm", directory);
    open_session(&s,
                 "(module (func $f (param i32) (result i32) (i32.div_s (i32.const 7) (local.get 0)))"
                 " (func (export \"_start\") (drop (call $f (i32.const 0)))))",
                 "--coredump", core);
    stands(ask(&s, "c"), "T05", place(&s, 0, 2), "exception");
    mentions(s.reply,
             "description:696e746567657220646976696465206279207a65726f;"); /* integer divide by zero */
    answers(&s, "qWasmLocal:0;0", "00000000");
    answers(&s, "qWasmStackValue:0;0", "07000000");
    answers(&s, "c", "X06");
    assert_int_equal(close_session(&s), 134);
    assert_int_equal(access(core, F_OK), 0);
    open_session(&s, "(module (memory 1) (func (export \"_start\") (drop (i32.load (i32.const -1)))))", NULL,
                 NULL);
    stands(ask(&s, "c"), "T05", place(&s, 0, 1), "exception");
    answers(&s, "c", "X06");
    assert_int_equal(close_session(&s), 134);
}

static void preloaded_programs_have_addresses_of_their_own(void **state) {
    struct session s;
    char preload[300];
    (void)state;
    const char *library = write_program("library", "(module (memory 1) (data (i32.const 0) \"lib\")"
                                                   " (func (export \"f\") nop))");
    snprintf(preload, sizeof preload, "library=%s", library);
    open_session(&s,
                 "(module (import \"library\" \"f\" (func $f)) (memory 1) (data (i32.const 0) \"own\")"
                 " (func (export \"_start\") call $f))",
                 "--preload", preload);
    stands(ask(&s, "?"), "T05", place(&s, 1, 0), "trace");
    answers(&s, "m0,3", "6f776e");
    answers(&s, "m100000000,3", "6c6962");
    mentions(ask(&s, "qXfer:libraries:read::0,fff"),
             "library.wat\"><section address=\"0x4000000100000000\"/>");
    ask(&s, "s");
    uint64_t pc;
    assert_int_equal(sscanf(strstr(s.reply, "thread-pcs:"), "thread-pcs:%lx;", &pc), 1);
    assert_int_equal(pc >> 32, UINT64_C(0x40000001));
    answers(&s, format("m%lx,1", pc), "01"); /* nop */
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

/* Each gets an error or nothing, and the session goes on. */
static void broken_packets_do_no_harm(void **state) {
    static const char *const broken[] = {"m",
                                         "m,",
                                         "mzz,1",
                                         "m0",
                                         "m0,",
                                         "m0,1,",
                                         "m0,1x",
                                         "m11111111111111111,1",
                                         "M0,1",
                                         "M0,1:",
                                         "M0,1:0",
                                         "M0,1:zz",
                                         "M0,1:000",
                                         "M0,ffffffffffffffff:00",
                                         "Z",
                                         "Z0",
                                         "Z0,",
                                         "Z0,0",
                                         "Z0,0,",
                                         "Z0,0,1",
                                         "z0,0,1",
                                         "Z0,4000000000100000,1",
                                         "Z0,8000000000000000,1",
                                         "Z0,x,1",
                                         "p",
                                         "p1",
                                         "pzz",
                                         "qWasmLocal:",
                                         "qWasmLocal:0",
                                         "qWasmLocal:0;",
                                         "qWasmLocal:a;b",
                                         "qWasmLocal:0;99999999999999999999",
                                         "qWasmLocal:-1;0",
                                         "qWasmGlobal:4294967296;0",
                                         "qWasmStackValue:0;4294967296",
                                         "qMemoryRegionInfo:",
                                         "vCont;",
                                         "vCont;x",
                                         "qXfer:libraries:read::",
                                         "qXfer:libraries:read::1",
                                         "qXfer:features:read:target.xml:z,z",
                                         "C05;0",
                                         "s0",
                                         "c0"};
    struct session s;
    char large[8000], c;
    (void)state;
    open_session(&s, counter, NULL, NULL);
    ask(&s, "?");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (ask(&s, broken[i])[0] != 'E') fail_msg("%s: '%s'", broken[i], s.reply);
    answers(&s, "", "");
    answers(&s, "Z2,0,1", "");
    answers(&s, "qXfer:auxv:read::0,100", "");
    assert_true(strlen(ask(&s, "m0,ffffffffffffffff")) < 4096);
    memset(large, 'A', sizeof large - 1);
    large[sizeof large - 1] = 0;
    answers(&s, large, "E07");
    put(&s, "$m0,1#00", 8); /* a wrong sum asks for it again */
    assert_int_equal(get(&s), '-');
    put(&s, "$m0,1#zz", 8);
    assert_int_equal(get(&s), '-');
    put(&s, "noise\0\377$never ended", 17);
    answers(&s, "m10,1", "68");
    put(&s, "-", 1); /* once more, please */
    get_packet(&s);
    assert_string_equal(s.reply, "68");
    for (uint64_t i = 0; i < s.program->bytes.size; i++) /* a breakpoint may be anywhere in a module */
        answers(&s, format("Z0,%llx,1", (unsigned long long)(OBJECT | i)), "OK");
    for (uint64_t i = 0; i < s.program->bytes.size; i++)
        answers(&s, format("z0,%llx,1", (unsigned long long)(OBJECT | i)), "OK");
    answers(&s, "c", "W00");
    assert_int_equal(recv(s.fd, &c, 1, 0), 0);
    assert_int_equal(close_session(&s), 0);
}

static void wrong_ports_and_waiting_end_as_other_faults_do(void **state) {
    FILE *errors, *other;
    char port[20], told[300] = "";
    const char *path = write_program("program", counter);
    (void)state;
    char *waits[] = {"atoll", "run", "--gdb", "0", (char *)path, NULL};
    pid_t pid = spawn(waits, &errors);
    snprintf(port, sizeof port, "%d", announced_port(errors, "atoll: waiting for a debugger at 127.0.0.1:"));
    char *taken[] = {"atoll", "run", "--gdb", port, (char *)path, NULL};
    pid_t second = spawn(taken, &other);
    assert_non_null(fgets(told, sizeof told, other));
    mentions(told, "atoll: run: --gdb: cannot listen: Address already in use");
    assert_int_equal(status_of(second), 125);
    fclose(other);
    kill(pid, SIGTERM);
    assert_int_equal(status_of(pid), 128 + SIGTERM);
    fclose(errors);
    char *nobody[] = {"atoll", "run", "--timeout", "100ms", "--gdb", "0", (char *)path, NULL};
    pid = spawn(nobody, &errors);
    announced_port(errors, "atoll: waiting for a debugger at 127.0.0.1:");
    assert_int_equal(status_of(pid), 124);
    fclose(errors);
    char *usage[] = {"atoll", "run", "--gdb", "65536", (char *)path, NULL};
    pid = spawn(usage, &errors);
    assert_int_equal(status_of(pid), 2);
    fclose(errors);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stops_at_entry_and_describes_itself),
        cmocka_unit_test(memory_and_module_bytes_are_readable),
        cmocka_unit_test(a_step_is_one_instruction),
        cmocka_unit_test(a_breakpoint_shows_frames_and_their_values),
        cmocka_unit_test(a_running_program_is_interrupted_and_let_go),
        cmocka_unit_test(kill_ends_it_detach_lets_it_run),
        cmocka_unit_test(a_debugger_that_goes_away_ends_the_program),
        cmocka_unit_test(a_trap_is_shown_where_it_happened),
        cmocka_unit_test(preloaded_programs_have_addresses_of_their_own),
        cmocka_unit_test(broken_packets_do_no_harm),
        cmocka_unit_test(wrong_ports_and_waiting_end_as_other_faults_do),
    };
    if (argc != 2 || !begin_sessions(argv[1])) return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    end_sessions();
    return failed;
}
