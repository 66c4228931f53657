/* tests/sysvm/cpu/soft/x87_native_test.c: several x87 instructions in a row (x87_sequences.S), with others between, on
 * this machine's processor and on the software CPU, interpreted and as one translated block: all three do the same.
 * Pointers to the last instruction are compared between the latter two only: processors keep them in several ways, and
 * none may show where the host's code stands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sysvm/cpu/soft/native_case.h"

extern const struct sequence {
    const char *name;
    const uint8_t *start, *end;
} x87_sequences[];

enum { ENVIRONMENTS = 0x100, IMAGE = 0x400, ST = 32, XMM = 160 };
enum { FOP = 6, MXCSR = 24, MASK = 28, RESERVED = 416, LEGACY = 512 };

struct states {
    struct case_state in, native, interpreted, translated;
};

/* ---- what they begin with ---- */

static void put_numbers(uint8_t *at, unsigned round) {
    static const double numbers[] = {1.5, -7.25, 1e300, 3e-310, 0.0, 123456789.0, -0.3, 1e18, 2.0, -1e-5};
    static const uint64_t others[] = {UINT64_C(0x7FF8000000000000), UINT64_C(0xFFF0000000000000),
                                      UINT64_C(0x7FF0000000000001), 0x8000000000000000};
    enum { N_NUMBERS = sizeof numbers / sizeof *numbers };
    for (unsigned i = 0; i < 16; i++) memcpy(at + i * 8, numbers + (i + round) % N_NUMBERS, 8);
    if (round % 3 == 2) memcpy(at + round % 2 * 8, others + round / 3 % 4, 8);
}

static void put_state(struct case_state *in, unsigned round) {
    static const uint16_t controls[] = {0x37F, 0x27F, 0xF7F, 0x77F, 0x07F};
    const uint16_t control = controls[round % 5];
    const uint32_t mxcsr = round % 2 ? 0x1F80 : 0x5FA0; /* another way of rounding */
    memset(in, 0, sizeof *in);
    for (unsigned i = 0; i < 16; i++) in->gpr[i] = i * 0x1111 + round;
    in->gpr[1] = 24;                /* rcx */
    in->gpr[6] = CASE_DATA + 0xFF0; /* rsi */
    in->gpr[7] = CASE_DATA;         /* rdi */
    in->rip = CASE_RIP;
    in->rflags = 0x202 | (round & 1) | (round & 2 ? 0x8D4 : 0);
    memcpy(in->fp, &control, 2);
    memcpy(in->fp + MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < 16; i++) {
        put_numbers(in->fp + XMM + 128 * (i / 8), round + 1);
        put_numbers(in->fp + CASE_YMM_HIGH + 128 * (i / 8), round + 2);
    }
    put_numbers(in->data, round);
    put_numbers(in->data + CASE_PAGE, round + 3);
    put_numbers(in->data + CASE_WRITABLE, round + 4);
}

/* ---- comparing ---- */

static bool tell(const char *what, const uint8_t *x, const uint8_t *y, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if (x[i] == y[i]) continue;
        printf("    %s+%x: %02x is %02x\n", what, i, x[i], y[i]);
        return false;
    }
    return true;
}

static bool compare_registers(const struct case_state *x, const struct case_state *y) {
    bool same = true;
    for (unsigned i = 0; i < 16; i++)
        if (!tell("general register", (const uint8_t *)(x->gpr + i), (const uint8_t *)(y->gpr + i), 8))
            same = false;
    same &= tell("rip", (const uint8_t *)&x->rip, (const uint8_t *)&y->rip, 8);
    same &= tell("rflags", (const uint8_t *)&x->rflags, (const uint8_t *)&y->rflags, 8);
    same &= tell("vector", &x->vector, &y->vector, 1);
    same &= tell("cr2", (const uint8_t *)&x->cr2, (const uint8_t *)&y->cr2, 8);
    return same;
}

static bool compare_fp(const struct case_state *x, const struct case_state *y) {
    bool same = tell("control, status, tags", x->fp, y->fp, FOP - 1);
    for (unsigned i = 0; i < 8; i++) same &= tell("st", x->fp + ST + i * 16, y->fp + ST + i * 16, 10);
    same &= tell("mxcsr", x->fp + MXCSR, y->fp + MXCSR, 4);
    same &= tell("xmm", x->fp + XMM, y->fp + XMM, 256);
    same &= tell("ymm", x->fp + CASE_YMM_HIGH, y->fp + CASE_YMM_HIGH, 256);
    return same;
}

/* What processors fill in as they like. */
static void blank_pointers(uint8_t *data) {
    for (unsigned at = ENVIRONMENTS; at < ENVIRONMENTS + 0x80; at += 0x40) memset(data + at + 12, 0, 16);
    memset(data + IMAGE + FOP - 1, 0, MXCSR - FOP + 1);
    memset(data + IMAGE + MASK, 0, 4);
    memset(data + IMAGE + RESERVED, 0, LEGACY - RESERVED);
}

static bool compare(const char *name, unsigned round, struct states *s) {
    bool same = tell("pointers", s->interpreted.fp + FOP, s->translated.fp + FOP, MXCSR - FOP);
    same &= tell("memory of both", s->interpreted.data, s->translated.data, CASE_DATA_BYTES);
    struct case_state *soft[] = {&s->interpreted, &s->translated};
    blank_pointers(s->native.data);
    for (unsigned i = 0; i < 2; i++) {
        blank_pointers(soft[i]->data);
        bool alike = compare_registers(&s->native, soft[i]);
        alike &= compare_fp(&s->native, soft[i]);
        alike &= tell("memory", s->native.data, soft[i]->data, CASE_DATA_BYTES);
        if (!alike) printf("  %s\n", i ? "translated" : "interpreted");
        same &= alike;
    }
    if (!same) printf("%s, round %u\n", name, round);
    return same;
}

/* ---- running ---- */

/* This process' own floating point, which the guest's code must leave as a function finds it. */
static bool is_clean(void) {
    struct {
        uint32_t control, status, tags, others[4];
    } environment;
    uint32_t mxcsr;
    __asm__ volatile("fnstenv %0\n\tfldenv %0\n\tstmxcsr %1" : "=m"(environment), "=m"(mxcsr));
    const bool clean =
        (uint16_t)environment.control == 0x37F && (uint16_t)environment.tags == 0xFFFF && mxcsr == 0x1F80;
    if (!clean)
        printf("left behind: control %x, tags %x, mxcsr %x\n", environment.control, environment.tags, mxcsr);
    return clean;
}

/* Behind the sequence is an int3, whose gate is nowhere: the guest has no table of them. */
static bool run_soft(struct soft_guest *guest, bool translated, bool is_cold, const struct sequence *sequence,
                     const struct case_state *in, struct case_state *out) {
    enum { PAGE = 14, GATE_3 = 3 * 16 };
    const unsigned n = (unsigned)(sequence->end - sequence->start);
    const bool ended = soft_guest_run_block(guest, translated, is_cold, sequence->start, n, in, out);
    if (ended && out->vector == PAGE && out->cr2 == GATE_3 && out->rip == CASE_RIP + n) {
        out->vector = CASE_RAN;
        out->cr2 = 0;
    }
    if (!ended) printf("%s does not come to an end\n", sequence->name);
    return is_clean() && ended;
}

static bool run(struct soft_guest *guest, const struct sequence *sequence, unsigned round, struct states *s) {
    put_state(&s->in, round);
    native_run(sequence->start, (unsigned)(sequence->end - sequence->start), &s->in, &s->native);
    return run_soft(guest, false, false, sequence, &s->in, &s->interpreted) &&
           run_soft(guest, true, round % 2, sequence, &s->in, &s->translated) &&
           compare(sequence->name, round, s);
}

int main(void) {
    enum { ROUNDS = 60, SKIP = 77 };
    struct states *s = calloc(1, sizeof *s);
    struct soft_guest *guest = soft_guest_new();
    unsigned failed = 0;
    if (!s || !guest || !native_begin()) {
        printf("no memory, or its addresses are taken\n");
        return SKIP;
    }
    for (const struct sequence *sequence = x87_sequences; sequence->name; sequence++)
        for (unsigned round = 0; round < ROUNDS; round++) failed += !run(guest, sequence, round, s);
    free(s);
    return failed != 0;
}
