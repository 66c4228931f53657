/* tests/sysvm/cpu/soft/native_run.c: an instruction on this machine's processor.
 *
 * The state goes into the registers through the frame of a signal: a handler puts it there and returns, the kernel loads
 * it, the instruction runs, and the int3 behind it, or its fault, comes back as a signal whose frame has the state. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "tests/sysvm/cpu/soft/native_case.h"

enum { STACK_BYTES = 1 << 16, SAVED_FP_MAX = 16384, LEGACY_BYTES = 512, XSTATE_MAGIC = 0x46505853 };
enum { USER_CS32 = 0x23, USER_DS = 0x2B }; /* Linux' own, in every process */
enum { MAGIC_AT = 464, EXTENDED_SIZE_AT = 468, HEADER_AT = 512 };

static struct {
    enum { IDLE, STARTING, RUNNING } phase;
    const struct case_state *in;
    struct case_state *out;
    gregset_t gregs; /* of the test, while the case runs */
    uint8_t fp[SAVED_FP_MAX];
    size_t fp_bytes;
    uint8_t *code, *data;
} run;

static const int gpr_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static uint32_t word(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put_state(ucontext_t *context) {
    greg_t *g = context->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)context->uc_mcontext.fpregs;
    uint64_t components;
    run.fp_bytes = word(fp + MAGIC_AT) == XSTATE_MAGIC ? word(fp + EXTENDED_SIZE_AT) : LEGACY_BYTES;
    if (run.fp_bytes > sizeof run.fp) _exit(3);
    memcpy(run.gregs, g, sizeof run.gregs);
    memcpy(run.fp, fp, run.fp_bytes);
    for (unsigned i = 0; i < 16; i++) g[gpr_of[i]] = (greg_t)run.in->gpr[i];
    g[REG_RIP] = (greg_t)run.in->rip;
    g[REG_EFL] = (greg_t)run.in->rflags;
    if (run.in->bits == 32) g[REG_CSGSFS] = (g[REG_CSGSFS] & ~(greg_t)0xFFFF) | USER_CS32;
    memcpy(fp, run.in->fp, 24);
    memcpy(fp + 24, run.in->fp + 24, 4);
    memcpy(fp + 32, run.in->fp + 32, 384);
    if (run.fp_bytes < CASE_FP_BYTES) return;
    memcpy(&components, fp + HEADER_AT, sizeof components);
    components |= 7;
    memcpy(fp + HEADER_AT, &components, sizeof components);
    memcpy(fp + CASE_YMM_HIGH, run.in->fp + CASE_YMM_HIGH, 256);
}

static void take_state(ucontext_t *context) {
    greg_t *g = context->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)context->uc_mcontext.fpregs;
    struct case_state *out = run.out;
    uint64_t components = 7;
    for (unsigned i = 0; i < 16; i++) out->gpr[i] = (uint64_t)g[gpr_of[i]];
    out->rip = (uint64_t)g[REG_RIP];
    out->rflags = (uint64_t)g[REG_EFL];
    out->vector = (uint8_t)g[REG_TRAPNO];
    out->error_code = (uint32_t)g[REG_ERR];
    out->cr2 = (uint64_t)g[REG_CR2];
    memset(out->fp, 0, sizeof out->fp);
    memcpy(out->fp, fp, 416);
    if (run.fp_bytes >= CASE_FP_BYTES) {
        memcpy(&components, fp + HEADER_AT, sizeof components);
        if (components & 4) memcpy(out->fp + CASE_YMM_HIGH, fp + CASE_YMM_HIGH, 256);
    }
    memcpy(g, run.gregs, sizeof run.gregs);
    memcpy(fp, run.fp, run.fp_bytes);
}

static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)info;
    switch (run.phase) {
    case STARTING:
        run.phase = RUNNING;
        put_state(context);
        return;
    case RUNNING:
        run.phase = IDLE;
        take_state(context);
        return;
    default: _exit(100 + signal); /* the test's own fault */
    }
}

static void *map_at(uintptr_t at, size_t n, int protection, int fd, off_t offset) {
    void *wanted = (void *)at;
    void *p = mmap(wanted, n, protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, offset);
    return p == wanted ? p : NULL;
}

/* Code is written and data read through second mappings, so that the first ones have the rights of the guest's. */
static bool map_memory(void) {
    enum { ALL = CASE_PAGE + CASE_DATA_BYTES };
    int fd = memfd_create("case", 0);
    if (fd < 0 || ftruncate(fd, ALL)) return false;
    uint8_t *alias = mmap(NULL, ALL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (alias == MAP_FAILED) return false;
    memset(alias, 0xCC, CASE_PAGE);
    run.code = alias;
    run.data = alias + CASE_PAGE;
    bool mapped = map_at(CASE_CODE, CASE_PAGE, PROT_READ | PROT_EXEC, fd, 0) &&
                  map_at(CASE_DATA, CASE_WRITABLE, PROT_READ | PROT_WRITE, fd, CASE_PAGE) &&
                  map_at(CASE_DATA + CASE_WRITABLE, CASE_PAGE, PROT_READ, fd, CASE_PAGE + CASE_WRITABLE);
    close(fd);
    return mapped;
}

bool native_begin(void) {
    static const int signals[] = {SIGUSR1, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static void *signal_stack; /* for as long as the process lives */
    signal_stack = malloc(STACK_BYTES);
    stack_t stack = {.ss_sp = signal_stack, .ss_size = STACK_BYTES};
    if (!stack.ss_sp || sigaltstack(&stack, NULL) || !map_memory()) return false;
    /* 64-bit code needs no data segments, so processes have none at first */
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(USER_DS));
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL)) return false;
    return true;
}

/* What the signal tells of how the instruction ended. */
static void interpret(struct case_state *out) {
    enum { BREAKPOINT = 3, PAGE = 14, FETCH = 16, RF = 1 << 16 };
    if (out->vector == BREAKPOINT) {
        out->vector = CASE_RAN;
        out->rip--;
    } else if (out->vector == PAGE && out->error_code & FETCH && out->cr2 == out->rip) {
        out->vector = CASE_RAN; /* a jump was done; there is no code where it went */
    }
    out->rflags &= ~(uint64_t)RF;
    if (out->vector == CASE_RAN) out->error_code = 0;
    if (out->vector != PAGE) out->cr2 = 0;
}

void native_run(const uint8_t *bytes, unsigned n, const struct case_state *in, struct case_state *out) {
    memcpy(run.code + (CASE_RIP - CASE_CODE), bytes, n);
    memcpy(run.data, in->data, CASE_DATA_BYTES);
    run.in = in;
    run.out = out;
    run.phase = STARTING;
    raise(SIGUSR1);
    memcpy(out->data, run.data, CASE_DATA_BYTES);
    memset(run.code + (CASE_RIP - CASE_CODE), 0xCC, n);
    interpret(out);
}
