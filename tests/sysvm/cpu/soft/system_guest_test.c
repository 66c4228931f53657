/* tests/sysvm/cpu/soft/system_guest_test.c: small guests that try what a kernel relies on, and tell by ports what
 * happened (guests/guest.h). The software CPU has to say what NAME.expected says, and so has this machine's KVM where
 * it opens: that decides what is right.
 *
 *   system_guest_test ENGINE GUEST.bin EXPECTED [long|flat32 [CPUS]]
 *                     EXPECTED -: what is told is printed, to begin a new guest; CPUS, of which the first tells */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sysvm/cpu/engine.h"
#include "sysvm/layout.h"

enum { MEMORY = 8 << 20, TEXT_MAX = 64 << 10, PORT_END = 0xF4, TELLS_MAX = 2000, SKIP = 77, CPUS_MAX = 8 };

struct trace {
    char text[TEXT_MAX];
    size_t n;
    bool gave_up; /* a KVM that only emulates knows not every instruction; what it told until then counts */
};

static void tell(struct trace *trace, const char *name, uint32_t value) {
    int n = snprintf(trace->text + trace->n, TEXT_MAX - trace->n, "%s %x\n", name, value);
    if (n > 0 && (size_t)n < TEXT_MAX - trace->n) trace->n += (size_t)n;
}

static const char *port_name(uint64_t port) {
    switch (port) {
    case 0x80: return "value";
    case 0x90: return "exception";
    case 0x91: return "  error";
    case 0x92: return "  address";
    default: return "port";
    }
}

/* What one exit tells; false: the guest is done. */
static bool take(struct trace *trace, const struct vm_exit *exit) {
    uint32_t value = 0;
    switch (exit->kind) {
    case VM_EXIT_NONE: return true;
    case VM_EXIT_PORT:
        if (exit->address == PORT_END) return false;
        memcpy(&value, exit->data, exit->n_bytes <= 4 ? exit->n_bytes : 4);
        tell(trace, exit->is_write ? port_name(exit->address) : "in", value);
        return true;
    case VM_EXIT_MEMORY:
        tell(trace, exit->is_write ? "device write" : "device read", (uint32_t)exit->address);
        return true;
    case VM_EXIT_RESET: tell(trace, "reset", 0); return false;
    case VM_EXIT_HALTED: tell(trace, "halted", 0); return false;
    default:
        printf("the engine gave up: %s\n", exit->text);
        trace->gave_up = true;
        return false;
    }
}

static bool start(const struct vm_engine_ops *ops, void *vcpu, const struct vm_memory *memory,
                  const char *state_name) {
    struct vm_cpu_state state;
    if (!strcmp(state_name, "flat32"))
        vm_state_flat32(&state, VM_KERNEL_BASE);
    else if (!vm_state_long(&state, memory, VM_KERNEL_BASE))
        return false;
    return ops->set_state(vcpu, &state) == 0;
}

/* A processor but the first: what it comes back for is nobody's. */
struct other {
    const struct vm_engine_ops *ops;
    void *vcpu;
    atomic_bool ends;
    pthread_t thread;
};

static void *run_other(void *context) {
    struct other *other = context;
    struct vm_exit exit;
    while (!other->ends) other->ops->run(other->vcpu, &exit);
    return NULL;
}

static bool begin_other(struct other *other, const struct vm_engine_ops *ops, void *engine, unsigned index) {
    other->ops = ops;
    return ops->vcpu_new(engine, index, &other->vcpu, NULL) == ATOLL_OK &&
           !pthread_create(&other->thread, NULL, run_other, other);
}

static void end_other(struct other *other) {
    other->ends = true;
    other->ops->kick(other->vcpu);
    pthread_join(other->thread, NULL);
    other->ops->vcpu_free(other->vcpu);
}

static bool run_in(const struct vm_engine_ops *ops, void *engine, const struct vm_memory *memory,
                   const char *state_name, unsigned n_cpus, struct trace *trace) {
    struct other others[CPUS_MAX] = {0};
    void *vcpu;
    struct vm_exit exit;
    if (ops->vcpu_new(engine, 0, &vcpu, NULL) != ATOLL_OK) return false;
    bool ok = start(ops, vcpu, memory, state_name);
    unsigned n = 1;
    while (n < n_cpus && begin_other(others + n, ops, engine, n)) n++;
    for (unsigned i = 0; ok && n == n_cpus && i < TELLS_MAX; i++) {
        ops->run(vcpu, &exit);
        if (!take(trace, &exit)) break;
    }
    ok &= n == n_cpus;
    while (--n) end_other(others + n);
    ops->vcpu_free(vcpu);
    return ok;
}

static bool load(const struct vm_memory *memory, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    char *at = vm_memory_at(memory, VM_KERNEL_BASE, MEMORY - VM_KERNEL_BASE);
    bool ok = at && fread(at, 1, MEMORY - VM_KERNEL_BASE, file) > 0;
    fclose(file);
    return ok;
}

/* Fills *trace; false, with a line on stderr, where the guest cannot be run at all. */
static bool run(const struct vm_engine_ops *ops, const char *guest, const char *state_name, unsigned n_cpus,
                struct trace *trace) {
    struct vm_memory *memory;
    struct atoll_error err = {0};
    void *engine;
    if (vm_memory_new(&atoll_default_alloc, MEMORY, &memory, &err) != ATOLL_OK) return false;
    struct vm_engine_config config = {.alloc = &atoll_default_alloc, .memory = memory, .n_cpus = n_cpus};
    bool ok = load(memory, guest) && ops->create(&config, &engine, &err) == ATOLL_OK;
    if (ok) {
        ok = run_in(ops, engine, memory, state_name, n_cpus, trace);
        ops->destroy(engine);
    }
    if (!ok) fprintf(stderr, "%s does not run in engine %s: %s\n", guest, ops->name, err.text);
    vm_memory_free(memory);
    return ok;
}

/* ---- comparing ---- */

static char *read_text(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, TEXT_MAX);
    if (file && text) (void)!fread(text, 1, TEXT_MAX - 1, file);
    if (file) fclose(file);
    return text;
}

/* Expected text may have comments: what stands behind # in a line, and lines without anything else. */
static void strip(char *text) {
    char *to = text;
    for (char *line = text; *line;) {
        size_t n = strcspn(line, "\n"), used = strcspn(line, "#\n");
        while (used && line[used - 1] == ' ') used--;
        char *next = line + n + (line[n] != 0);
        memmove(to, line, used);
        if (used) to[used++] = '\n';
        to += used;
        line = next;
    }
    *to = 0;
}

static int compare(const char *expected, const struct trace *trace) {
    unsigned line = 1;
    for (const char *e = expected, *g = trace->text; *e || *g; line++) {
        if (!*g && trace->gave_up) return SKIP;
        size_t n = strcspn(e, "\n"), m = strcspn(g, "\n");
        if (n != m || memcmp(e, g, n) != 0) {
            fprintf(stderr, "told line %u: expected \"%.*s\", got \"%.*s\"\n", line, (int)n, e, (int)m, g);
            return 1;
        }
        e += n + (e[n] != 0);
        g += m + (g[m] != 0);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    bool is_kvm = !strcmp(argv[1], "kvm");
    const struct vm_engine_ops *ops = is_kvm ? &vm_engine_kvm : &vm_engine_soft;
    struct trace *trace = calloc(1, sizeof *trace);
    if (is_kvm && access("/dev/kvm", R_OK | W_OK)) {
        puts("skipped: no /dev/kvm here");
        return SKIP;
    }
    const unsigned n_cpus = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
    if (!n_cpus || n_cpus > CPUS_MAX) return 2;
    if (!trace || !run(ops, argv[2], argc > 4 ? argv[4] : "long", n_cpus, trace)) return 1;
    if (!strcmp(argv[3], "-")) {
        fputs(trace->text, stdout);
        free(trace);
        return 0;
    }
    char *expected = read_text(argv[3]);
    if (!expected) return 1;
    strip(expected);
    int status = compare(expected, trace);
    if (status == SKIP) printf("agreed on %zu bytes until then\n", trace->n);
    if (status == SKIP && !is_kvm) status = 1;
    free(expected);
    free(trace);
    return status;
}
