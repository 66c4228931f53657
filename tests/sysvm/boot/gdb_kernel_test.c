/* tests/sysvm/boot/gdb_kernel_test.c: a debugger at Debian's kernel, which goes on to its end behind it.
 * usage: gdb_kernel_test ATOLL KERNEL INITRD kvm|soft APPEND START_KERNEL KERNEL_INIT JIFFIES
 *   the last three: addresses of these symbols with nokaslr, in base 16; 77: the engine is not there */
#include <sys/stat.h>
#include "tests/cli/gdb_client.h"

enum { RIP = 0x10, KVM_REGISTERS = 4 };
enum { FTRACE_CALL = 5 }; /* functions begin with it: the kernel looks at these bytes, and changes them */

static const char *kernel, *initrd, *engine, *append;
static unsigned long long start_kernel, kernel_init, jiffies;

static uint64_t number(const char *digits) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned byte;
        assert_int_equal(sscanf(digits + 2 * i, "%2x", &byte), 1);
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}
static uint64_t place(struct session *s) { return number(ask(s, format("p%x", RIP))); }
static uint64_t ticks(struct session *s) { return number(ask(s, format("m%llx,8", jiffies))); }

static void start(struct session *s) {
    FILE *errors;
    char *arguments[] = {"atoll",    "boot",         "--engine",     (char *)engine, "--gdb",
                         "0",        "--kernel",     (char *)kernel, "--initrd",     (char *)initrd,
                         "--append", (char *)append, "--memory",     "256M",         NULL};
    *s = (struct session){.fd = -1};
    s->pid = spawn(arguments, &errors);
    connect_to(s, announced_port(errors, "atoll: boot: waiting for a debugger at 127.0.0.1:"));
    fclose(errors);
}

static void a_kernel_stops_where_it_is_told(void **state) {
    struct session s;
    uint64_t before;
    (void)state;
    start(&s);
    ask(&s, "qSupported:swbreak+;hwbreak+");

    /* before paging is on: it waits in a register */
    answers(&s, format("Z1,%llx,1", start_kernel), "OK");
    answers(&s, "vCont;c", "T05thread:1;hwbreak:;");
    assert_int_equal(place(&s), start_kernel);
    answers(&s, format("z1,%llx,1", start_kernel), "OK");

    /* KVM's registers taken by what does not come again: an instruction in the kernel's memory */
    for (unsigned i = 0; i < KVM_REGISTERS; i++) answers(&s, format("Z1,%llx,1", start_kernel + 1 + i), "OK");
    answers(&s, format("Z0,%llx,1", kernel_init), "OK");
    answers(&s, "vCont;c", "T05thread:1;swbreak:;");
    assert_int_equal(place(&s), kernel_init);
    answers(&s, format("z0,%llx,1", kernel_init), "OK");
    for (unsigned i = 0; i < KVM_REGISTERS; i++) answers(&s, format("z1,%llx,1", start_kernel + 1 + i), "OK");
    answers(&s, "vCont;s:1", "T05thread:1;");
    assert_int_not_equal(place(&s), kernel_init);

    /* each write, by its handler of interrupts */
    answers(&s, format("Z2,%llx,8", jiffies), "OK");
    before = ticks(&s);
    for (unsigned i = 1; i <= 3; i++) {
        answers(&s, "vCont;c", format("T05thread:1;watch:%llx;", jiffies));
        assert_in_range(ticks(&s), before + i, before + i + 1000);
    }
    answers(&s, format("z2,%llx,8", jiffies), "OK");

    answers(&s, "D", "OK");
    close(s.fd);
    assert_int_equal(status_of(s.pid), 0);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(a_kernel_stops_where_it_is_told)};
    if (argc != 9) return 2;
    command = argv[1], kernel = argv[2], initrd = argv[3], engine = argv[4], append = argv[5];
    start_kernel = strtoull(argv[6], NULL, 16);
    kernel_init = strtoull(argv[7], NULL, 16) + FTRACE_CALL;
    jiffies = strtoull(argv[8], NULL, 16);
    if (strcmp(engine, "soft") && access("/dev/kvm", R_OK | W_OK)) return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
