/* tests/sysvm/boot/machine_test.c: machines as a library sees them: several in a process at once, ended from inside
 * and outside. usage: machine_test TINY_KERNEL */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
#include "sandbox/sandbox.h"
#include "sysvm/machine.h"

static struct vm_bytes kernel;

struct host {
    struct vm_loop *loop;
    struct sandbox *sandbox;
    struct vm_machine *machine;
    char seen[1 << 18];
    size_t n_seen;
    pthread_t thread;
    enum vm_end end;
    enum atoll_status status;
};

static size_t take(void *end, const uint8_t *bytes, size_t n) {
    struct host *host = end;
    if (n > sizeof host->seen - 1 - host->n_seen) n = sizeof host->seen - 1 - host->n_seen;
    memcpy(host->seen + host->n_seen, bytes, n);
    host->n_seen += n;
    return n;
}
static void want_input(void *end) { (void)end; }

static const struct vm_engine_ops *engine;

static struct host *host_of(const char *line, unsigned n_cpus) {
    static const struct vm_stream_ops ops = {take, want_input, NULL};
    struct host *host = test_calloc(1, sizeof *host);
    struct sb_config sandbox = {0};
    assert_int_equal(vm_loop_new(&atoll_default_alloc, &host->loop, NULL), ATOLL_OK);
    assert_int_equal(sb_new(&sandbox, &host->sandbox, NULL), ATOLL_OK);
    struct vm_machine_config config = {.alloc = &atoll_default_alloc,
                                       .engine = engine,
                                       .memory_bytes = 32 << 20,
                                       .n_cpus = n_cpus,
                                       .serial = {&ops, host},
                                       .loop = host->loop,
                                       .sandbox = host->sandbox};
    assert_int_equal(vm_machine_new(&config, &host->machine, NULL), ATOLL_OK);
    struct vm_machine_kernel k = {.kernel = kernel, .cmdline = line};
    assert_int_equal(vm_machine_load(host->machine, &k, NULL), ATOLL_OK);
    return host;
}

static void free_host(struct host *host) {
    vm_machine_free(host->machine);
    vm_loop_free(host->loop);
    sb_free(host->sandbox);
    test_free(host);
}

static void *run(void *context) {
    struct host *host = context;
    host->status = vm_machine_run(host->machine, &host->end, NULL);
    return NULL;
}

static void assert_runs(struct host *host, enum vm_end end) {
    run(host);
    assert_int_equal(host->status, ATOLL_OK);
    assert_int_equal(host->end, end);
}

static void how_a_guest_ends_is_told(void **state) {
    (void)state;
    static const struct {
        const char *line;
        enum vm_end end;
    } rows[] = {{"off", VM_END_OFF}, {"reset", VM_END_RESET}, {"fault", VM_END_CRASHED}};
    for (size_t i = 0; i < 3; i++) {
        struct host *host = host_of(rows[i].line, 1);
        assert_runs(host, rows[i].end);
        assert_non_null(strstr(host->seen, rows[i].line));
        assert_true(vm_machine_exits(host->machine) > 0);
        free_host(host);
    }
}

static void machines_run_side_by_side(void **state) {
    (void)state;
    enum { N = 3 };
    struct host *hosts[N];
    for (unsigned i = 0; i < N; i++) {
        char line[32];
        snprintf(line, sizeof line, "off %u", i);
        hosts[i] = host_of(line, 1 + i);
        assert_int_equal(pthread_create(&hosts[i]->thread, NULL, run, hosts[i]), 0);
    }
    for (unsigned i = 0; i < N; i++) {
        char text[32];
        pthread_join(hosts[i]->thread, NULL);
        snprintf(text, sizeof text, "tiny: off %u\n", i);
        assert_string_equal(hosts[i]->seen, text);
        assert_int_equal(hosts[i]->end, VM_END_OFF);
        free_host(hosts[i]);
    }
}

static void a_machine_is_stopped_from_another_thread(void **state) {
    (void)state;
    static const char *const lines[] = {"hang", "halt", "flood"};
    for (size_t i = 0; i < 3; i++) {
        struct host *host = host_of(lines[i], 4);
        assert_int_equal(pthread_create(&host->thread, NULL, run, host), 0);
        if (i) usleep(5000); /* before, or while it runs: both have to do */
        vm_machine_stop(host->machine);
        pthread_join(host->thread, NULL);
        assert_int_equal(host->end, VM_END_STOPPED);
        free_host(host);
    }
}

static void what_ended_it_first_counts(void **state) {
    (void)state;
    struct host *host = host_of("off", 1);
    vm_machine_stop(host->machine);
    assert_runs(host, VM_END_STOPPED);
    assert_int_equal(host->n_seen, 0);
    free_host(host);
}

static void a_machine_that_never_ran_is_freed(void **state) {
    (void)state;
    free_host(host_of("off", 2));
}

static void a_broken_kernel_leaves_a_machine_to_be_freed(void **state) {
    (void)state;
    struct host *host = host_of("off", 1);
    struct vm_machine_config config = {.alloc = &atoll_default_alloc, .engine = engine, .n_cpus = 1};
    struct vm_machine *machine = NULL;
    config.loop = host->loop, config.sandbox = host->sandbox;
    config.memory_bytes = 4097;
    assert_int_equal(vm_machine_new(&config, &machine, NULL), ATOLL_E_USAGE);
    config.memory_bytes = 32 << 20;
    assert_int_equal(vm_machine_new(&config, &machine, NULL), ATOLL_OK);
    struct vm_machine_kernel k = {.kernel = {(const uint8_t *)"none", 4}, .cmdline = ""};
    assert_int_equal(vm_machine_load(machine, &k, NULL), ATOLL_E_UNSUPPORTED);
    vm_machine_free(machine);
    free_host(host);
}

static bool read_kernel(const char *path) {
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    kernel = (struct vm_bytes){bytes, fread(bytes, 1, sizeof bytes, file)};
    fclose(file);
    return kernel.size;
}

int main(int argc, char **argv) {
    if (argc != 3 || !read_kernel(argv[1])) return 2;
    engine = strcmp(argv[2], "soft") == 0 ? &vm_engine_soft : &vm_engine_kvm;
    if (engine == &vm_engine_kvm && access("/dev/kvm", R_OK | W_OK)) {
        puts("skipped: no /dev/kvm here");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_a_guest_ends_is_told),
        cmocka_unit_test(machines_run_side_by_side),
        cmocka_unit_test(a_machine_is_stopped_from_another_thread),
        cmocka_unit_test(what_ended_it_first_counts),
        cmocka_unit_test(a_machine_that_never_ran_is_freed),
        cmocka_unit_test(a_broken_kernel_leaves_a_machine_to_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
