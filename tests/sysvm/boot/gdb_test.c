/* tests/sysvm/boot/gdb_test.c: atoll boot --gdb with a scripted debugger, on one engine.
 * usage: gdb_test ATOLL gdb_guest kvm|soft [steps|whole]; 77: the engine is not there
 * steps: places are reached by single steps, for a KVM on a processor that tells it of no breakpoint
 * whole: with what only a KVM on a processor with all of debugging has, as the software CPU has it */
#include <sys/stat.h>
#include "tests/cli/gdb_client.h"

static const char *kernel, *engine;
static bool is_soft, by_steps, is_whole;

/* Of gdb_guest.S. */
enum {
    START = 0x1000000,
    STEPS = START + 0x100,
    STORE = START + 0x110,
    BEHIND_STORE = STORE + 11,
    BEHIND_LOAD = BEHIND_STORE + 1 + 7,
    SERVE = START + 0x200,
    SECOND = 0x8000,
    WORD = START + 0x800,
    WISH = START + 0x808,
    TICKS = START + 0x80C,
    TAKEN = START + 0x810
};
/* Numbers of registers, and the digits of all. */
enum {
    RAX = 0,
    RBX = 1,
    RCX = 2,
    RIP = 0x10,
    EFLAGS = 0x11,
    CS = 0x12,
    XMM0 = 0x28,
    MXCSR = 0x38,
    CR3 = 0x4E
};
enum { ALL_DIGITS = 2 * 864 };

static void start(struct session *s, const char *port, const char *cpus) {
    FILE *errors;
    char *arguments[] = {"atoll",      "boot",         "--engine",   (char *)engine, "--gdb",
                         (char *)port, "--cpus",       (char *)cpus, "--memory",     "32M",
                         "--kernel",   (char *)kernel, NULL};
    bool runs = strchr(port, ',');
    *s = (struct session){.fd = -1};
    s->pid = spawn(arguments, &errors);
    connect_to(s, announced_port(errors, runs ? "atoll: boot: a debugger can connect to 127.0.0.1:"
                                              : "atoll: boot: waiting for a debugger at 127.0.0.1:"));
    fclose(errors);
}
static void open_machine(struct session *s) { start(s, "0", "1"); }

static void end(struct session *s) {
    put_packet(s, "k");
    assert_int_equal(status_of(s->pid), 137);
    close(s->fd);
}

static uint64_t reg(struct session *s, unsigned number) {
    const char *digits = ask(s, format("p%x", number));
    uint64_t value = 0;
    assert_true(strlen(digits) >= 8 && digits[0] != 'E');
    for (unsigned i = 0; i < 8 && digits[2 * i]; i++) {
        unsigned byte;
        assert_int_equal(sscanf(digits + 2 * i, "%2x", &byte), 1);
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}
static void write_word(struct session *s, unsigned address, unsigned value) {
    answers(s,
            format("M%x,4:%02x%02x%02x%02x", address, value & 255, value >> 8 & 255, value >> 16 & 255,
                   value >> 24),
            "OK");
}
/* Goes on, until rip is there. */
static void run_to(struct session *s, unsigned address, const char *stop) {
    if (by_steps) {
        for (unsigned i = 0; i < 1000 && reg(s, RIP) != address; i++) answers(s, "vCont;s:1", "T05thread:1;");
    } else {
        answers(s, format("Z1,%x,1", address), "OK");
        answers(s, "vCont;c", stop);
        answers(s, format("z1,%x,1", address), "OK");
    }
    assert_int_equal(reg(s, RIP), address);
}

/* ---- registers, memory ---- */

static void a_machine_stands_before_its_first_instruction(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    mentions(ask(&s, "qSupported:swbreak+;hwbreak+"), "PacketSize=1000;qXfer:features:read+");
    answers(&s, "?", "T05thread:1;");
    answers(&s, "qAttached", "1");
    answers(&s, "qC", "QC1");
    assert_int_equal(reg(&s, RIP), START);
    end(&s);
}

static void registers_are_described_read_and_written(void **state) {
    struct session s;
    char all[ALL_DIGITS + 2] = "G";
    (void)state;
    open_machine(&s);
    mentions(ask(&s, "qXfer:features:read:target.xml:0,7ff"), "<architecture>i386:x86-64</architecture>");
    assert_int_equal(*s.reply, 'm');
    mentions(s.reply, "<reg name=\"rax\" bitsize=\"64\" type=\"int64\"/>");
    assert_int_equal(*ask(&s, "qXfer:features:read:target.xml:1800,7ff"), 'l');
    assert_int_equal(strlen(ask(&s, "g")), ALL_DIGITS);
    answers(&s, format("P%x=%s", RBX, little_endian(0xAABBCCDDEEFF0011)), "OK");
    assert_int_equal(reg(&s, RBX), 0xAABBCCDDEEFF0011);
    answers(&s, format("P%x=000102030405060708090a0b0c0d0e0f", XMM0), "OK");
    answers(&s, format("p%x", XMM0), "000102030405060708090a0b0c0d0e0f");
    strcpy(all + 1, ask(&s, "g"));
    memcpy(all + 1 + 16 * RCX, little_endian(99), 16);
    answers(&s, all, "OK");
    assert_int_equal(reg(&s, RCX), 99);
    assert_int_equal(reg(&s, RBX), 0xAABBCCDDEEFF0011);
    answers(&s, format("P%x=01000000", CS), "E01"); /* a selector without what hides behind it */
    answers(&s, format("P%x=000000ff", MXCSR), "E01");
    answers(&s, "p60", "E01");
    answers(&s, "P60=00", "E01");
    assert_int_not_equal(reg(&s, CR3), 0);
    end(&s);
}

static void memory_is_reached_by_the_page_tables(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    answers(&s, format("m%x,a", START), "48b88877665544332211");
    answers(&s, format("m%x,2", START + 0xFFF), "9000");
    write_word(&s, WORD, 0x12345678);
    answers(&s, format("m%x,4", WORD), "78563412");
    answers(&s, "mffffffff81000000,4", "E0e"); /* no page */
    answers(&s, "mfee00000,4", "E0e");         /* a device */
    answers(&s, "Mfee00000,1:00", "E0e");
    answers(&s, "mfffffffffffffff8,10", "E0e");
    answers(&s, format("M%x,2:00", WORD), "E01");
    answers(&s, format("M%x,1:0g", WORD), "E01");
    answers(&s, format("m%x,4", WORD), "78563412");
    end(&s);
}

/* ---- stopping ---- */

static void breakpoints_and_steps_are_exact(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    ask(&s, "qSupported:swbreak+;hwbreak+");
    answers(&s, format("Z0,%x,1", STEPS), "OK");
    answers(&s, format("Z0,%x,1", STEPS), "OK"); /* again: the same one */
    answers(&s, "vCont;c", "T05thread:1;swbreak:;");
    assert_int_equal(reg(&s, RIP), STEPS);
    assert_int_equal(reg(&s, RAX), 0x1122334455667788);
    assert_int_equal(reg(&s, RBX), 1);
    answers(&s, format("m%x,4", STEPS), "4883c302"); /* nobody sees how it is done */
    answers(&s, format("z0,%x,1", STEPS), "OK");
    answers(&s, "vCont;s:1", "T05thread:1;");
    assert_int_equal(reg(&s, RIP), STEPS + 4);
    assert_int_equal(reg(&s, RBX), 3);
    answers(&s, "s", "T05thread:1;");
    assert_int_equal(reg(&s, RBX), 7);
    answers(&s, format("Z1,%x,1", STORE), "OK");
    answers(&s, "c", "T05thread:1;hwbreak:;");
    assert_int_equal(reg(&s, RIP), STORE);
    end(&s);
}

static void the_place_can_be_changed(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    run_to(&s, STEPS, "T05thread:1;");
    answers(&s, format("P%x=%s", RIP, little_endian(STEPS + 4)), "OK");
    answers(&s, "vCont;s:1", "T05thread:1;");
    assert_int_equal(reg(&s, RBX), 5);
    end(&s);
}

static void watched_data_stops_behind_the_access(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    answers(&s, format("Z2,%x,4", WORD), "OK");
    answers(&s, "vCont;c", format("T05thread:1;watch:%x;", WORD));
    assert_int_equal(reg(&s, RIP), BEHIND_STORE);
    answers(&s, format("m%x,4", WORD), "07000000");
    answers(&s, format("z2,%x,4", WORD), "OK");
    /* one byte of those that are read; x86 has no register for reads alone */
    char kind = is_soft ? '3' : '4';
    answers(&s, format("Z%c,%x,1", kind, WORD + 3), "OK");
    answers(&s, "vCont;c", format("T05thread:1;%s:%x;", is_soft ? "rwatch" : "awatch", WORD + 3));
    assert_int_equal(reg(&s, RIP), BEHIND_LOAD);
    answers(&s, format("z%c,%x,1", kind, WORD + 3), "OK");
    answers(&s, format("Z4,%x,4", WISH), "OK");
    answers(&s, "vCont;c", format("T05thread:1;awatch:%x;", WISH));
    end(&s);
}

/* As debuggers go on from a place where they have a breakpoint. */
static void over(struct session *s, unsigned address) {
    answers(s, format("z0,%x,1", address), "OK");
    answers(s, "vCont;s:1", "T05thread:1;");
    answers(s, format("Z0,%x,1", address), "OK");
}

/* KVM's registers taken, the fifth stands in memory, as an instruction. */
static void breakpoints_in_memory_are_exact(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    ask(&s, "qSupported:swbreak+;hwbreak+");
    for (unsigned i = 0; i < 4; i++) answers(&s, format("Z1,%x,1", START + 0x900 + i), "OK");
    answers(&s, format("Z0,%x,1", STEPS), "OK");
    answers(&s, format("Z0,%x,1", SERVE), "OK");
    answers(&s, "vCont;c", "T05thread:1;swbreak:;");
    assert_int_equal(reg(&s, RIP), STEPS);
    assert_int_equal(reg(&s, RBX), 1);
    answers(&s, format("m%x,4", STEPS), "4883c302");
    over(&s, STEPS);
    assert_int_equal(reg(&s, RIP), STEPS + 4);
    assert_int_equal(reg(&s, RBX), 3);
    for (unsigned i = 0; i < 3; i++) {
        answers(&s, "vCont;c", "T05thread:1;swbreak:;");
        assert_int_equal(reg(&s, RIP), SERVE);
        answers(&s, format("m%x,4", TICKS), format("%02x000000", i));
        over(&s, SERVE);
    }
    answers(&s, format("z0,%x,1", SERVE), "OK");
    answers(&s, format("z1,%x,1", START + 0x900), "OK");
    write_word(&s, WISH, 3);
    answers(&s, "vCont;c", "W00");
    assert_int_equal(status_of(s.pid), 0);
    close(s.fd);
}

/* With breakpoints of the debugger in registers and in memory. */
static void a_guest_takes_its_own_breakpoints(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    for (unsigned i = 0; i < 4; i++) answers(&s, format("Z1,%x,1", START + 0x900 + i), "OK");
    answers(&s, format("Z0,%x,1", SERVE), "OK");
    for (unsigned i = 0; i < 3; i++) {
        answers(&s, "vCont;c", "T05thread:1;");
        assert_int_equal(reg(&s, RIP), SERVE);
        answers(&s, format("m%x,4", TAKEN), format("%02x000000", i));
        write_word(&s, WISH, 5);
        over(&s, SERVE);
    }
    end(&s);
}

static void a_repeated_instruction_is_watched_element_by_element(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    answers(&s, format("Z2,%x,1", SECOND + 2), "OK");
    answers(&s, "vCont;c", format("T05thread:1;watch:%x;", SECOND + 2));
    assert_int_equal(reg(&s, 5 /* rdi */), SECOND + 3);
    end(&s);
}

static void a_running_machine_is_interrupted(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    for (unsigned i = 0; i < 3; i++) {
        put_packet(&s, "vCont;c");
        put(&s, "\3", 1);
        get_packet(&s);
        assert_string_equal(s.reply, "T02thread:1;");
    }
    end(&s);
}

static void a_halted_processor_can_be_stopped(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    run_to(&s, SERVE, "T05thread:1;");
    write_word(&s, WISH, 4);
    for (unsigned i = 0; i < 2; i++) {
        put_packet(&s, i ? "vCont;s:1" : "vCont;c");
        usleep(50000);
        put(&s, "\3", 1);
        get_packet(&s);
        assert_string_equal(s.reply, "T02thread:1;");
    }
    end(&s);
}

/* ---- two processors ---- */

static void processors_are_threads(void **state) {
    struct session s;
    (void)state;
    start(&s, "0", "2");
    answers(&s, "qfThreadInfo", "m1,2");
    answers(&s, "qsThreadInfo", "l");
    answers(&s, "T2", "OK");
    answers(&s, "T3", "E03");
    answers(&s, "Hg3", "E03");
    answers(&s, "Hg", "E03");
    answers(&s, "qThreadExtraInfo,2", "70726f636573736f722031");
    answers(&s, format("Z1,%x,1", SECOND + 4), "OK"); /* linear: its code segment begins at SECOND */
    answers(&s, "vCont;c", "T05thread:2;");
    answers(&s, format("z1,%x,1", SECOND + 4), "OK");
    assert_int_equal(reg(&s, RIP), 4);
    answers(&s, "qC", "QC2");
    assert_int_equal(reg(&s, RAX) & 0xFFFF, 5);
    answers(&s, "vCont;s:2", "T05thread:2;");
    assert_int_equal(reg(&s, RAX) & 0xFFFF, 6);
    answers(&s, "Hg1", "OK");
    uint64_t before = reg(&s, RIP);
    assert_in_range(before, START, START + 0x300);
    for (unsigned i = 0; i < 5; i++) answers(&s, "vCont;s:2", "T05thread:2;");
    answers(&s, "Hg1", "OK");
    assert_int_equal(reg(&s, RIP), before); /* it stood still */
    put_packet(&s, "vCont;c:1");            /* and goes on without the other */
    put(&s, "\3", 1);
    get_packet(&s);
    answers(&s, "Hg2", "OK");
    assert_int_equal(reg(&s, RIP), 4); /* after six: inc, pause, jmp, inc, ... */
    end(&s);
}

/* ---- the end ---- */

static void a_debugger_stays_over_a_reset_and_hears_of_the_end(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    run_to(&s, SERVE, "T05thread:1;");
    write_word(&s, WISH, 1);
    answers(&s, "vCont;c", "T05thread:1;");
    assert_int_equal(reg(&s, RIP), START);
    run_to(&s, SERVE, "T05thread:1;");
    write_word(&s, WISH, 3);
    answers(&s, "vCont;c", "W00");
    assert_int_equal(status_of(s.pid), 0);
    close(s.fd);
}

static void a_triple_fault_stops_where_it_happened(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    run_to(&s, SERVE, "T05thread:1;");
    write_word(&s, WISH, 2);
    answers(&s, "vCont;c", "T0bthread:1;");
    answers(&s, "vCont;c", "Wff");
    assert_int_equal(status_of(s.pid), 255);
    close(s.fd);
}

static unsigned port_of(int fd) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    assert_int_equal(getpeername(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static void a_machine_goes_on_when_its_debugger_leaves(void **state) {
    struct session s;
    (void)state;
    start(&s, "0,run", "1");
    unsigned port = port_of(s.fd);
    answers(&s, "?", "T02thread:1;"); /* it ran */
    answers(&s, format("Z0,%x,1", SERVE), "OK");
    answers(&s, "D", "OK");
    close(s.fd);
    for (unsigned i = 0; i < 4; i++) { /* gone while it stands, and while it runs */
        s.no_acks = false;
        connect_to(&s, (int)port);
        answers(&s, "?", "T02thread:1;");
        answers(&s, format("Z2,%x,4", WORD), "OK");
        if (i % 2) put_packet(&s, "vCont;c");
        close(s.fd);
    }
    connect_to(&s, (int)port);
    write_word(&s, WISH, 3);
    answers(&s, "vCont;c", "W00");
    assert_int_equal(status_of(s.pid), 0);
    close(s.fd);
}

/* ---- who means harm ---- */

static void packets_that_are_wrong_are_answered_with_errors(void **state) {
    static const char *const packets[] = {"p",
                                          "pzz",
                                          "P",
                                          "P0",
                                          "P0=",
                                          "P0=1",
                                          "P0=11223344556677889",
                                          "G",
                                          "G00",
                                          "m",
                                          "m0",
                                          "m0,",
                                          "m0,1x",
                                          "m,1",
                                          "M0,1",
                                          "M0,1:",
                                          "Z0",
                                          "Z0,0",
                                          "Z,,",
                                          "z0,zz,1",
                                          "vCont;",
                                          "vCont;x",
                                          "vCont;c:9",
                                          "vCont;c:zz",
                                          "vCont;C",
                                          "vCont;s:0",
                                          "s10",
                                          "c10",
                                          "H",
                                          "Hg-2",
                                          "T",
                                          "Tffffffffffffffffff",
                                          "qThreadExtraInfo,",
                                          "Z2,0,0",
                                          "Z2,0,ffffffffffffffff",
                                          "Z2,0,1001",
                                          "qXfer:features:read:target.xml:",
                                          "qXfer:features:read:target.xml:0",
                                          "qXfer:features:read:target.xml:x,y"};
    struct session s;
    (void)state;
    open_machine(&s);
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++)
        if (*ask(&s, packets[i]) != 'E') fail_msg("%s: '%s'", packets[i], s.reply);
    answers(&s, "Z5,0,1", "");
    answers(&s, "vFile:open:2f,0,0", "");
    answers(&s, "qRcmd,00", "");
    answers(&s, "X0,0:", "");
    put(&s, "$m0,1#zz", 8);
    assert_int_equal(get(&s), '-');
    put(&s, "$$$#00+++###-", 13); /* a packet of nothing, whose answer is wanted twice */
    assert_string_equal(get_packet(&s), "");
    assert_string_equal(get_packet(&s), "");
    char *huge = malloc(100000);
    assert_non_null(huge);
    memset(huge, 'm', 100000);
    huge[0] = '$';
    put(&s, huge, 100000);
    put(&s, "#00", 3);
    free(huge);
    assert_int_equal(get(&s), '-'); /* its checksum is another */
    answers(&s, "qC", "QC1");
    end(&s);
}

static void breakpoints_are_bounded(void **state) {
    struct session s;
    unsigned n = 0;
    (void)state;
    open_machine(&s);
    while (n < 5000 && *ask(&s, format("Z1,%x,1", START + n)) == 'O') n++;
    assert_string_equal(s.reply, "E0c");
    assert_int_equal(n, is_soft ? 256 : 4);
    if (!is_soft) answers(&s, format("Z3,%x,4", WORD), "");
    for (unsigned i = 0; i < n; i++) answers(&s, format("z1,%x,1", START + i), "OK");
    answers(&s, "z1,77,1", "OK");
    run_to(&s, STEPS, "T05thread:1;");
    end(&s);
}

/* Sends and never reads: it is not waited for. */
static void a_debugger_that_never_reads_harms_only_itself(void **state) {
    struct session s;
    (void)state;
    open_machine(&s);
    unsigned port = port_of(s.fd);
    struct timeval patience = {.tv_usec = 200000};
    setsockopt(s.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    char packets[1000] = "";
    for (unsigned i = 0; i < 100; i++) memcpy(packets + 5 * i, "$g#67", 5);
    for (unsigned i = 0; i < 10000 && send(s.fd, packets, 500, MSG_NOSIGNAL) > 0; i++) continue;
    close(s.fd);
    s.no_acks = false;
    connect_to(&s, (int)port);
    mentions(ask(&s, "?"), "thread:1;");
    end(&s);
}

static void processors_hold_whatever_they_are_given(void **state) {
    uint64_t random = 88172645463325252;
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct session s;
        open_machine(&s);
        for (unsigned i = 0; i < 20; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            unsigned number = (unsigned)(random % 0x52);
            uint64_t value = random & 64 ? random * 0x9E3779B97F4A7C15 : UINT64_C(1) << random % 61;
            size_t digits = strlen(ask(&s, format("p%x", number)));
            char packet[64];
            int n = snprintf(packet, sizeof packet, "P%x=", number);
            for (size_t k = 0; k < digits; k++)
                packet[n + (int)k] = "0123456789abcdef"[(value >> (k * 4 % 64)) & 15];
            packet[n + (int)digits] = 0;
            ask(&s, packet);
        }
        bool crashed = false; /* told of, and then it goes on to its end */
        for (unsigned i = 0; i < 5 && !crashed; i++) {
            mentions(ask(&s, "vCont;s:1"), "thread:1;");
            crashed = strncmp(s.reply, "T0b", 3) == 0;
        }
        end(&s);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_stands_before_its_first_instruction),
        cmocka_unit_test(registers_are_described_read_and_written),
        cmocka_unit_test(memory_is_reached_by_the_page_tables),
        cmocka_unit_test(the_place_can_be_changed),
        cmocka_unit_test(a_running_machine_is_interrupted),
        cmocka_unit_test(a_halted_processor_can_be_stopped),
        cmocka_unit_test(a_debugger_stays_over_a_reset_and_hears_of_the_end),
        cmocka_unit_test(a_triple_fault_stops_where_it_happened),
        cmocka_unit_test(a_machine_goes_on_when_its_debugger_leaves),
        cmocka_unit_test(packets_that_are_wrong_are_answered_with_errors),
    };
    /* And what is too much for a processor that is emulated by another that is. */
    static const struct CMUnitTest breakpoint_tests[] = {
        cmocka_unit_test(a_debugger_that_never_reads_harms_only_itself),
        cmocka_unit_test(breakpoints_and_steps_are_exact),
        cmocka_unit_test(processors_are_threads),
        cmocka_unit_test(breakpoints_are_bounded),
    };
    /* KVMs that only emulate have no watchpoints, and give up at int3. */
    static const struct CMUnitTest whole_tests[] = {
        cmocka_unit_test(breakpoints_in_memory_are_exact),
        cmocka_unit_test(a_guest_takes_its_own_breakpoints),
        cmocka_unit_test(watched_data_stops_behind_the_access),
        cmocka_unit_test(a_repeated_instruction_is_watched_element_by_element),
    };
    /* Any KVM gives up where states make no sense. */
    static const struct CMUnitTest soft_tests[] = {
        cmocka_unit_test(processors_hold_whatever_they_are_given),
    };
    if (argc != 4 && argc != 5) return 2;
    command = argv[1], kernel = argv[2], engine = argv[3];
    by_steps = argc == 5 && strcmp(argv[4], "steps") == 0;
    is_soft = strcmp(engine, "soft") == 0;
    is_whole = is_soft || (argc == 5 && strcmp(argv[4], "whole") == 0);
    if (!is_soft && access("/dev/kvm", R_OK | W_OK)) return 77;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!by_steps) failed |= cmocka_run_group_tests(breakpoint_tests, NULL, NULL);
    if (is_whole) failed |= cmocka_run_group_tests(whole_tests, NULL, NULL);
    return failed || !is_soft ? failed : cmocka_run_group_tests(soft_tests, NULL, NULL);
}
