/* tests/sysvm/cpu/soft/semantics_native_test.c: instructions on this machine's processor and on the software CPU must do
 * the same: registers, defined flags, vectors, memory, exceptions.
 *
 *   semantics_native_test [COUNT [SEED [MNEMONIC [BITS]]]]    COUNT cases, over all encodings in turn or those of a
 *                                                             mnemonic (or "" for all), in code of 64 or 32 bits
 * A child runs the cases, since one that went wrong on the real processor may take the process with it; the parent then
 * tells which it was. What differs is told by mnemonic, the first case of each in full. */
#include <Zydis/Zydis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/sysvm/cpu/soft/native_case.h"

struct case_now { /* shared with the parent */
    volatile uint64_t done;
    volatile unsigned n_bytes, bits;
    uint8_t bytes[15];
};

struct tally {
    unsigned cases, failed;
};

struct context {
    struct case_now *now;
    struct soft_guest *guest;
    struct case_form *forms;
    unsigned n_forms;
    struct case_random random;
    struct case_state in, native, soft;
    struct tally tallies[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

/* ---- what differs ---- */

static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct report {
    bool print;
    bool differs;
};

static void tell(struct report *r, const char *what, uint64_t native, uint64_t soft) {
    if (r->print)
        printf("    %-8s native %016llx soft %016llx\n", what, (unsigned long long)native,
               (unsigned long long)soft);
    r->differs = true;
}

static void compare_bytes(struct report *r, const char *what, const uint8_t *in, const uint8_t *native,
                          const uint8_t *soft, unsigned n) {
    char text[40];
    unsigned told = 0;
    for (unsigned at = 0; at < n; at += 8) {
        uint64_t before, x, y;
        unsigned width = n - at < 8 ? n - at : 8;
        before = x = y = 0;
        memcpy(&before, in + at, width), memcpy(&x, native + at, width), memcpy(&y, soft + at, width);
        if (x == y) continue;
        if (told++ == 6) break;
        snprintf(text, sizeof text, "%s+%x", what, at);
        tell(r, text, x, y);
        if (r->print) printf("             before %016llx\n", (unsigned long long)before);
    }
}

/* The image but for pointers, which this machine keeps of exceptions only, and what is reserved. */
static void compare_fp(struct report *r, const uint8_t *in, const uint8_t *native, const uint8_t *soft) {
    compare_bytes(r, "control", in, native, soft, 2);
    compare_bytes(r, "status", in + 2, native + 2, soft + 2, 2);
    compare_bytes(r, "tags", in + 4, native + 4, soft + 4, 1);
    for (unsigned i = 0; i < 8; i++)
        compare_bytes(r, "st", in + 32 + i * 16, native + 32 + i * 16, soft + 32 + i * 16, 10);
    compare_bytes(r, "xmm", in + 160, native + 160, soft + 160, 256);
    compare_bytes(r, "ymm", in + CASE_YMM_HIGH, native + CASE_YMM_HIGH, soft + CASE_YMM_HIGH, 256);
}

/* A page fault of an access in the kernel's half, or at the end of the user's, whose tables are the kernel's; and one of an instruction
 * that makes several accesses, whose order is the processor's own. */
static bool is_fault_alike(const struct case_state *x, const struct case_state *y, bool by_parts) {
    enum { PAGE = 14, PRESENT = 1 };
    if (x->vector != PAGE || y->vector != PAGE) return x->error_code == y->error_code;
    uint32_t error = x->error_code ^ y->error_code;
    if (x->cr2 >> 63 || x->cr2 >> 12 == 0x7FFFFFFFF) error &= ~(uint32_t)PRESENT;
    return by_parts || (x->cr2 == y->cr2 && !error);
}

/* With an overflow or underflow that is not masked, a processor tells whether its own unbounded result was exact, and
 * ours whether the bounded one was. */
static uint32_t mxcsr_that_counts(const struct case_state *state, bool by_stages) {
    enum { SIMD = 19, FLAGS = 63, OVERFLOW = 8, UNDERFLOW = 16, PRECISION = 32 };
    uint32_t mxcsr;
    memcpy(&mxcsr, state->fp + 24, sizeof mxcsr);
    if (state->vector != CASE_RAN && by_stages) return mxcsr & ~(uint32_t)FLAGS;
    bool unbounded = state->vector == SIMD && mxcsr & ~(mxcsr >> 7) & (OVERFLOW | UNDERFLOW);
    return unbounded ? mxcsr & ~(uint32_t)PRECISION : mxcsr;
}

static void compare_registers(struct report *r, const struct case_state *x, const struct case_state *y,
                              const struct case_traits *traits) {
    enum { ARITHMETIC = 0x8D5 };
    uint32_t any_flags = traits->undefined_flags;
    if (traits->is_repeated && x->vector != CASE_RAN) any_flags |= ARITHMETIC;
    if ((x->rflags ^ y->rflags) & ~(uint64_t)any_flags) tell(r, "rflags", x->rflags, y->rflags);
    if (traits->by_parts && x->vector != CASE_RAN) return; /* of popa, some registers */
    for (unsigned i = 0; i < 16; i++) {
        uint64_t differs = x->gpr[i] ^ y->gpr[i];
        if (traits->is_repeated) differs = (uint32_t)differs;
        if (differs) tell(r, names[i], x->gpr[i], y->gpr[i]);
    }
}

static bool compare(const struct context *c, const struct case_traits *traits, bool print) {
    struct report r = {.print = print};
    const struct case_state *in = &c->in, *x = &c->native, *y = &c->soft;
    if (traits->may_fault && x->vector != CASE_RAN && y->vector == CASE_RAN) return true;
    if (x->vector != y->vector) tell(&r, "vector", x->vector, y->vector);
    if (!is_fault_alike(x, y, traits->by_parts)) {
        tell(&r, "error", x->error_code, y->error_code);
        tell(&r, "cr2", x->cr2, y->cr2);
    }
    if (x->rip != y->rip) tell(&r, "rip", x->rip, y->rip);
    compare_registers(&r, x, y, traits);
    uint32_t mxcsr = mxcsr_that_counts(x, traits->by_stages);
    if (mxcsr != mxcsr_that_counts(y, traits->by_stages))
        tell(&r, "mxcsr", mxcsr, mxcsr_that_counts(y, traits->by_stages));
    compare_fp(&r, in->fp, x->fp, y->fp);
    if (!(traits->by_parts && x->vector != CASE_RAN) && memcmp(x->data, y->data, CASE_DATA_BYTES))
        compare_bytes(&r, "data", in->data, x->data, y->data, CASE_DATA_BYTES);
    return !r.differs;
}

static void print_case(unsigned bits, const uint8_t *bytes, unsigned n) {
    ZydisDisassembledInstruction d;
    printf("  ");
    for (unsigned i = 0; i < n; i++) printf("%02x ", bytes[i]);
    if (ZYAN_SUCCESS(
            ZydisDisassembleIntel(bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                                  CASE_RIP, bytes, n, &d)))
        printf("  %s", d.text);
    printf("\n");
}

static void print_input(const struct case_state *in) {
    printf("    in       rflags %llx mxcsr %02x%02x control %02x%02x status %02x%02x\n",
           (unsigned long long)in->rflags, in->fp[25], in->fp[24], in->fp[1], in->fp[0], in->fp[3],
           in->fp[2]);
    for (unsigned i = 0; i < 16; i++)
        printf("%s%s %llx",
               i % 4 ? "  "
               : i   ? "\n             "
                     : "             ",
               names[i], (unsigned long long)in->gpr[i]);
    printf("\n");
}

/* ---- running ---- */

static void run_soft(struct context *c, struct tally *tally, bool translated) {
    const uint8_t *bytes = c->now->bytes;
    const unsigned n = c->now->n_bytes;
    bool ended = soft_guest_run(c->guest, translated, bytes, n, &c->in, &c->soft);
    struct case_traits traits = case_traits(c->in.bits, bytes, n);
    if (ended && compare(c, &traits, false)) return;
    if (tally->failed++) return;
    print_case(c->in.bits, bytes, n);
    printf("    %s\n", translated ? "translated" : "interpreted");
    if (!ended) printf("    the software CPU does not come to an end\n");
    print_input(&c->in);
    compare(c, &traits, true);
}

static void run_case(struct context *c, const struct case_form *form) {
    uint8_t bytes[15];
    unsigned n = 0;
    for (unsigned tries = 0; tries < 32 && !n; tries++) n = case_make(&c->random, form, bytes, &c->in);
    if (!n) return;
    memcpy(c->now->bytes, bytes, n);
    c->now->n_bytes = n;
    c->now->bits = c->in.bits;
    c->now->done++;
    native_run(bytes, n, &c->in, &c->native);
    struct tally *tally = c->tallies + form->mnemonic;
    tally->cases++;
    run_soft(c, tally, false);
    run_soft(c, tally, true);
}

static int summary(const struct context *c) {
    unsigned failed = 0, cases = 0, mnemonics = 0;
    for (unsigned i = 0; i <= ZYDIS_MNEMONIC_MAX_VALUE; i++) {
        const struct tally *t = c->tallies + i;
        cases += t->cases;
        mnemonics += t->cases != 0;
        failed += t->failed;
        if (t->failed)
            printf("%-16s %u of %u differ\n", ZydisMnemonicGetString((ZydisMnemonic)i), t->failed, t->cases);
    }
    printf("%u cases of %u instructions in %u forms: %u differ\n", cases, mnemonics, c->n_forms, failed);
    return failed || !cases;
}

static bool is_chosen(const struct case_form *form, const char *only) {
    return !only || !*only || !strcasecmp(ZydisMnemonicGetString((ZydisMnemonic)form->mnemonic), only);
}

static int run_all(struct case_now *now, uint64_t count, uint64_t seed, const char *only, unsigned bits) {
    struct context *c = calloc(1, sizeof *c);
    if (!c) return 2;
    c->now = now;
    c->random.state = seed;
    c->guest = soft_guest_new();
    struct case_form *all = case_forms(bits, &c->n_forms);
    unsigned kept = 0;
    for (unsigned i = 0; i < c->n_forms; i++)
        if (is_chosen(all + i, only)) all[kept++] = all[i];
    c->forms = all;
    c->n_forms = kept;
    if (!c->guest || !native_begin()) {
        printf("no memory, or its addresses are taken\n");
        return 77;
    }
    for (uint64_t i = 0; i < count && kept; i++) run_case(c, c->forms + i % kept);
    return summary(c);
}

static int child_died(const struct case_now *now, int status) {
    printf("after %llu cases the child ended by status %x, in\n", (unsigned long long)now->done,
           (unsigned)status);
    print_case(now->bits, now->bytes, now->n_bytes);
    return 1;
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct case_now *now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    if (now == MAP_FAILED) return 2;
    pid_t child = fork();
    if (child < 0) return 2;
    if (!child) {
        int result = run_all(now, count, seed, argc > 3 ? argv[3] : NULL,
                             argc > 4 && !strcmp(argv[4], "32") ? 32 : 64);
        fflush(stdout);
        _exit(result);
    }
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 100) return child_died(now, status);
    return WEXITSTATUS(status);
}
