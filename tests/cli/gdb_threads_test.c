/* tests/cli/gdb_threads_test.c: a program with threads under atoll run --gdb. usage  gdb_threads_test ATOLL */
#include "tests/cli/gdb_session.h"

/* Two threads call $mark until word 0 is set. The first calls $ready when both are at it, and waits for their end. */
static const char workers[] =
    "(module"
    "  (import \"wasi\" \"thread-spawn\" (func $spawn (param i32) (result i32)))"
    "  (import \"env\" \"memory\" (memory 1 1 shared))"
    "  (global $own (mut i32) (i32.const 7))"
    "  (func $mark (param $x i32) (result i32)  local.get $x  i32.const 1  i32.add)"
    "  (func $ready)"
    "  (func $work (param $thread i32) (param $number i32)"
    "    (global.set $own (local.get $number))"
    "    (drop (i32.atomic.rmw.add (i32.const 12) (i32.const 1)))"
    "    (loop $again"
    "      (drop (call $mark (local.get $number)))"
    "      (br_if $again (i32.eqz (i32.atomic.load (i32.const 0)))))"
    "    (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))"
    "    (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))"
    "  (func (export \"wasi_thread_start\") (param i32 i32)"
    "    local.get 0  local.get 1  call $work)"
    "  (func (export \"_start\") (local $done i32)"
    "    (drop (call $spawn (i32.const 1)))"
    "    (drop (call $spawn (i32.const 2)))"
    "    (loop $until (br_if $until (i32.lt_u (i32.atomic.load (i32.const 12)) (i32.const 2))))"
    "    (call $ready)"
    "    (loop $again"
    "      (local.set $done (i32.atomic.load (i32.const 4)))"
    "      (if (i32.lt_u (local.get $done) (i32.const 2))"
    "        (then (drop (memory.atomic.wait32 (i32.const 4) (local.get $done) (i64.const -1)))"
    "              (br $again))))))";
enum { MARK = 1, READY, WORK, THREAD_START, START };

static void stops_in(const char *reply, unsigned thread, const char *reason) {
    mentions(reply, format("T05thread:%x;", thread));
    mentions(reply, format("reason:%s;", reason));
}

/* The place of a thread by the list in the last stop. */
static uint64_t pc_of(const char *stop, unsigned thread) {
    const char *at = strstr(stop, "thread-pcs:");
    assert_non_null(at);
    at += strlen("thread-pcs:");
    while (--thread) {
        at = strchr(at, ',');
        assert_non_null(at);
        at++;
    }
    return strtoull(at, NULL, 16);
}

static void breakpoint(struct session *s, char what, uint32_t func) {
    answers(s, format("%c0,%llx,1", what, (unsigned long long)place(s, func, 0)), "OK");
}

static void open_workers(struct session *s) {
    open_session(s, workers, NULL, NULL);
    stands(ask(s, "?"), "T05", place(s, START, 0), "trace");
    answers(s, "qfThreadInfo", "m1");
    breakpoint(s, 'Z', READY);
    stops_in(ask(s, "c"), 1, "breakpoint");
    breakpoint(s, 'z', READY);
}

/* The frame of $work on a worker. */
static unsigned frame_of_work(struct session *s, unsigned thread) {
    const char *stack = ask(s, format("qWasmCallStack:%x", thread));
    size_t n = strlen(stack) / 16;
    assert_true(n == 2 || n == 3);
    assert_string_equal(stack + 16 * (n - 1), little_endian(place(s, THREAD_START, 3)));
    return (unsigned)n - 2;
}

static void all_threads_stand_still_and_can_be_looked_at(void **state) {
    struct session s;
    char numbers[2][16];
    (void)state;
    open_workers(&s);
    mentions(ask(&s, "?"), "threads:1,2,3;");
    answers(&s, "qfThreadInfo", "m1,2,3");
    answers(&s, "qsThreadInfo", "l");
    answers(&s, "qC", "QC1");
    for (unsigned thread = 2; thread <= 3; thread++) {
        unsigned frame = frame_of_work(&s, thread);
        answers(&s, "qC", format("QC%x", thread));
        snprintf(numbers[thread - 2], 16, "%.8s", ask(&s, format("qWasmLocal:%u;1", frame)));
        answers(&s, "qWasmGlobal:0;0", numbers[thread - 2]); /* each instance has globals of its own */
        answers(&s, "qWasmGlobal:0;instance:0;", numbers[thread - 2]);
        answers(&s, format("T%x", thread), "OK");
        mentions(ask(&s, format("qThreadStopInfo%x", thread)), format("T00thread:%x;", thread));
        assert_null(strstr(s.reply, "reason"));
    }
    assert_string_not_equal(numbers[0], numbers[1]);
    answers(&s, "Hg1", "OK");
    answers(&s, "qWasmGlobal:0;instance:0", "07000000");
    answers(&s, "qWasmGlobal:1;instance:0;", "E02");
    answers(&s, "qWasmGlobal:0;instance:1;", "E02");
    answers(&s, "m4000000000000000,4", "0061736d");
    static const char *const unknown[] = {"T4",
                                          "Hg4",
                                          "Hgx",
                                          "H",
                                          "qThreadStopInfo9",
                                          "qWasmCallStack:",
                                          "qWasmCallStack:7",
                                          "vCont;c:4",
                                          "vCont;s:",
                                          "vCont;c:1x",
                                          "qWasmGlobal:0;instance:",
                                          "qWasmGlobal:0;instance:4294967296;"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (ask(&s, unknown[i])[0] != 'E') fail_msg("%s: '%s'", unknown[i], s.reply);
    answers(&s, "M0,4:01000000", "OK");
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

static void one_thread_steps_while_the_others_stay(void **state) {
    struct session s;
    (void)state;
    open_workers(&s);
    for (unsigned thread = 3; thread >= 2; thread--) {
        ask(&s, "?");
        uint64_t before[] = {pc_of(s.reply, 1), pc_of(s.reply, 2), pc_of(s.reply, 3)};
        for (unsigned i = 0; i < 20; i++) {
            stops_in(ask(&s, format("vCont;s:%x", thread)), thread, "trace");
            for (unsigned other = 1; other <= 3; other++) {
                bool same = pc_of(s.reply, other) == before[other - 1];
                assert_true(same == (other != thread));
            }
            before[thread - 1] = pc_of(s.reply, thread);
        }
    }
    breakpoint(&s, 'Z', MARK);
    for (unsigned i = 0; i < 20; i++) {
        unsigned thread = 2 + i % 2;
        stops_in(ask(&s, format("vCont;c:%x", thread)), thread, "breakpoint");
        assert_int_equal(pc_of(s.reply, thread), place(&s, MARK, 0));
    }
    mentions(ask(&s, "vCont;c"), "reason:breakpoint;"); /* whoever comes there first */
    breakpoint(&s, 'z', MARK);
    answers(&s, "M0,4:01000000", "OK");
    answers(&s, "c", "W00");
    assert_int_equal(close_session(&s), 0);
}

static void a_program_whose_threads_all_wait_can_be_stopped_and_ended(void **state) {
    struct session s;
    (void)state;
    open_workers(&s);
    put_packet(&s, "vCont;c:1"); /* it waits for the others, which stay */
    put(&s, "\3", 1);
    const char *stop = get_packet(&s);
    assert_memory_equal(stop, "T02", 3);
    mentions(stop, "reason:signal;");
    frame_of_work(&s, 2);
    assert_true(strlen(ask(&s, "qWasmCallStack:1")) >= 16);
    uint64_t pc = pc_of(ask(&s, "?"), 1);
    const struct bc_func *f = &s.program->m->funcs[START];
    assert_true((pc & UINT32_MAX) >= f->body.offset && (pc & UINT32_MAX) < f->body.offset + f->body.size);
    answers(&s, "k", "X09");
    assert_int_equal(close_session(&s), 128 + 9);
    open_workers(&s);
    answers(&s, "D", "OK"); /* it runs on, and nothing ends it */
    kill(s.pid, SIGTERM);
    assert_int_equal(close_session(&s), 128 + SIGTERM);
    open_workers(&s); /* the debugger goes away while all run */
    put_packet(&s, "c");
    assert_int_equal(close_session(&s), 128 + 9);
    open_workers(&s); /* a signal, while a worker serves the debugger */
    breakpoint(&s, 'Z', MARK);
    mentions(ask(&s, "c"), "reason:breakpoint;");
    kill(s.pid, SIGTERM);
    assert_int_equal(status_of(s.pid), 128 + SIGTERM);
    close(s.fd);
    bc_module_free(s.program->m);
    bc_buf_fini(&s.program->bytes);
    free(s.program);
}

static void a_trap_on_a_thread_is_shown(void **state) {
    struct session s;
    char core[100];
    (void)state;
    snprintf(core, sizeof core, "%s/core.wasm", directory);
    open_session(&s,
                 "(module (import \"wasi\" \"thread-spawn\" (func $spawn (param i32) (result i32)))"
                 " (import \"env\" \"memory\" (memory 1 1 shared))"
                 " (func (export \"wasi_thread_start\") (param i32 i32)"
                 "  (drop (i32.div_s (local.get 1) (i32.const 0))))"
                 " (func (export \"_start\") (drop (call $spawn (i32.const 5)))"
                 "  (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))",
                 "--coredump", core);
    stops_in(ask(&s, "c"), 2, "exception");
    assert_int_equal(pc_of(s.reply, 2), place(&s, 1, 2));
    answers(&s, "qWasmLocal:0;1", "05000000");
    answers(&s, "c", "X06");
    assert_int_equal(close_session(&s), 134);
    assert_int_equal(access(core, F_OK), 0);
}

/* More than a packet lists. */
static void many_threads_are_listed_in_pieces(void **state) {
    struct session s;
    unsigned next = 1;
    (void)state;
    open_session(
        &s,
        "(module (import \"wasi\" \"thread-spawn\" (func $spawn (param i32) (result i32)))"
        " (import \"env\" \"memory\" (memory 1 1 shared)) (func $ready)"
        " (func (export \"wasi_thread_start\") (param i32 i32)"
        "  (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))"
        "  (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"
        " (func (export \"_start\") (local $i i32)"
        "  (loop $again (drop (call $spawn (i32.const 0)))"
        "   (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1500))))"
        "  (loop $until (br_if $until (i32.lt_u (i32.atomic.load (i32.const 4)) (i32.const 1500))))"
        "  (call $ready)))",
        "--max-threads", "1500");
    breakpoint(&s, 'Z', 1);
    stops_in(ask(&s, "c"), 1, "breakpoint");
    for (const char *list = ask(&s, "qfThreadInfo"); *list != 'l'; list = ask(&s, "qsThreadInfo")) {
        assert_int_equal(*list, 'm');
        assert_true(strlen(list) <= 4096);
        for (char *at = (char *)list; *at == 'm' || *at == ',';)
            assert_int_equal(strtoul(at + 1, &at, 16), next++);
    }
    assert_int_equal(next, 1502);
    answers(&s, "Hg5dd", "OK");
    answers(&s, "k", "X09");
    assert_int_equal(close_session(&s), 128 + 9);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_threads_stand_still_and_can_be_looked_at),
        cmocka_unit_test(one_thread_steps_while_the_others_stay),
        cmocka_unit_test(a_program_whose_threads_all_wait_can_be_stopped_and_ended),
        cmocka_unit_test(a_trap_on_a_thread_is_shown),
        cmocka_unit_test(many_threads_are_listed_in_pieces),
    };
    if (argc != 2 || !begin_sessions(argv[1])) return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    end_sessions();
    return failed;
}
