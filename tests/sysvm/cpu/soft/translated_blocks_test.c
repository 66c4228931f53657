/* tests/sysvm/cpu/soft/translated_blocks_test.c: random blocks of several instructions, interpreted and translated: both
 * end in the same state, however the TLB is, and whatever faults.
 *
 *   translated_blocks_test [BLOCKS [SEED]] */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sysvm/cpu/soft/native_case.h"

enum { BLOCK_MAX = 12, CODE_MAX = BLOCK_MAX * 15, AF = 16, ARITHMETIC = 0x8D5, KNOWN_RUNS = 64 };

struct context {
    struct case_random random;
    struct soft_guest *guest;
    struct case_form *forms;
    unsigned n_forms;
    uint8_t code[CODE_MAX];
    unsigned n;
    bool is_32;
    struct case_state in, plain, translated;
};

static unsigned below(struct context *c, unsigned n) { return (unsigned)(case_random(&c->random) % n); }

/* ---- blocks ---- */

/* An address that is often that of data, near a border now and then. */
static uint64_t some_address(struct context *c) {
    const uint64_t page = CASE_DATA + below(c, 3) * (uint64_t)CASE_PAGE;
    return below(c, 4) ? page + below(c, CASE_PAGE) : page + CASE_PAGE - 64 + below(c, 128);
}

static void put_imm(struct context *c, unsigned n_bytes) {
    for (unsigned i = 0; i < n_bytes; i++) c->code[c->n++] = (uint8_t)case_random(&c->random);
}

/* ModRM of a memory operand: a base, a distance of 8 bits, and seldom an index. */
static void put_memory(struct context *c, unsigned reg, unsigned base) {
    if ((base & 7) == 4) {
        c->code[c->n++] = (uint8_t)(0x44 | (reg & 7) << 3);
        c->code[c->n++] = (uint8_t)(0x20 | (base & 7));
    } else {
        c->code[c->n++] = (uint8_t)(0x40 | (reg & 7) << 3 | (base & 7));
    }
    put_imm(c, 1);
}

static uint8_t rex(const struct context *c, unsigned bits) {
    return c->is_32 ? 0x3E : (uint8_t)(0x40 | bits);
}

/* Accesses around a few bases, changes of these by constants, pushes and pops: what translated code treats together. */
static void put_frame_insn(struct context *c) {
    const unsigned wide = 8, reg = below(c, 16), base = below(c, 2) ? 4 + below(c, 2) : below(c, 16);
    const uint8_t prefix = rex(c, wide | (reg >= 8) << 2 | (base >= 8));
    switch (below(c, 9)) {
    case 0:
        c->code[c->n++] = prefix, c->code[c->n++] = 0x8B;
        put_memory(c, reg, base);
        return;
    case 1:
        c->code[c->n++] = prefix, c->code[c->n++] = 0x89;
        put_memory(c, reg, base);
        return;
    case 2: /* add, or ... cmp */
        c->code[c->n++] = prefix, c->code[c->n++] = (uint8_t)(below(c, 8) << 3 | 1 | below(c, 2) << 1);
        put_memory(c, reg, base);
        return;
    case 3: /* push */
        if (reg >= 8) c->code[c->n++] = rex(c, 1);
        c->code[c->n++] = (uint8_t)(0x50 | (reg & 7));
        return;
    case 4: /* pop */
        if (reg >= 8) c->code[c->n++] = rex(c, 1);
        c->code[c->n++] = (uint8_t)(0x58 | (reg & 7));
        return;
    case 5: /* add or sub by a constant */
        c->code[c->n++] = rex(c, wide | (base >= 8)), c->code[c->n++] = 0x83;
        c->code[c->n++] = (uint8_t)(0xC0 | below(c, 2) * 0x28 | (base & 7));
        put_imm(c, 1);
        return;
    case 6: /* lea */
        c->code[c->n++] = prefix, c->code[c->n++] = 0x8D;
        put_memory(c, reg, base);
        return;
    case 7: /* movups, either way */
        c->code[c->n++] = rex(c, (reg >= 8) << 2 | (base >= 8)), c->code[c->n++] = 0x0F;
        c->code[c->n++] = (uint8_t)(0x10 | below(c, 2));
        put_memory(c, reg, base);
        return;
    default: /* mov */
        c->code[c->n++] = prefix, c->code[c->n++] = 0x89;
        c->code[c->n++] = (uint8_t)(0xC0 | (reg & 7) << 3 | (base & 7));
        return;
    }
}

static ZydisMachineMode machine_of(const struct context *c) {
    return c->is_32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64;
}

/* What only 32-bit code has: inc and dec of a byte, 82 for 80, addresses without a register, an accumulator's. */
static void put_old_insn(struct context *c) {
    switch (below(c, 4)) {
    case 0: c->code[c->n++] = (uint8_t)(0x40 | below(c, 16)); return;
    case 1:
        c->code[c->n++] = 0x82, c->code[c->n++] = (uint8_t)(0xC0 | below(c, 64));
        put_imm(c, 1);
        return;
    case 2: c->code[c->n++] = (uint8_t)(0xA0 | below(c, 4)); break;
    default: c->code[c->n++] = 0x03, c->code[c->n++] = (uint8_t)(below(c, 8) << 3 | 5); break;
    }
    const uint32_t address = (uint32_t)some_address(c);
    memcpy(c->code + c->n, &address, 4);
    c->n += 4;
}

/* Not those whose flags are anyone's guess, nor jumps, nor what takes long. */
static bool is_fit(const struct context *c, const uint8_t *bytes, unsigned n) {
    ZydisDisassembledInstruction d;
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(machine_of(c), CASE_RIP, bytes, n, &d)) || d.info.length != n)
        return false;
    if (d.info.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) return false;
    if (d.info.meta.category == ZYDIS_CATEGORY_STRINGOP) return false;
    if (d.info.cpu_flags && d.info.cpu_flags->undefined & ARITHMETIC & ~AF) return false;
    return d.info.meta.category != ZYDIS_CATEGORY_SHIFT && d.info.meta.category != ZYDIS_CATEGORY_ROTATE;
}

static void put_any_insn(struct context *c) {
    static struct case_state unused;
    const struct case_form *form = c->forms + below(c, c->n_forms);
    uint8_t bytes[15];
    unsigned n = case_make(&c->random, form, bytes, &unused);
    if (c->is_32) case_drop_rex(bytes, n);
    if (!n || !is_fit(c, bytes, n)) return;
    memcpy(c->code + c->n, bytes, n);
    c->n += n;
}

/* Forwards, to the start of one of the instructions behind it, or behind all: so that it ends. */
static void put_branch(struct context *c) {
    c->code[c->n++] = (uint8_t)(0x70 | below(c, 16));
    c->code[c->n++] = 0;
}

static void aim_branches(struct context *c, const unsigned *starts, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        const unsigned to = i + 1 + below(c, n - i);
        if (c->code[starts[i]] >> 4 == 7 && starts[i + 1] - starts[i] == 2)
            c->code[starts[i] + 1] = (uint8_t)(starts[to] - starts[i + 1]);
    }
}

static void make_state(struct context *c) {
    uint8_t bytes[15];
    while (!case_make(&c->random, c->forms + below(c, c->n_forms), bytes, &c->in)) {}
    c->in.rip = CASE_RIP;
    c->in.fp[24] = 0x80, c->in.fp[25] = 0x1F; /* as most programs have it */
    for (unsigned i = 0; i < 16; i++)
        if (below(c, 3)) c->in.gpr[i] = some_address(c);
    if (c->is_32) c->in.gpr[4] = (uint32_t)c->in.gpr[4]; /* its upper half shows nowhere */
}

static void make_block(struct context *c) {
    c->n = 0;
    c->is_32 = below(c, 2);
    make_state(c);
    const unsigned n_insns = 2 + below(c, BLOCK_MAX - 2);
    unsigned starts[BLOCK_MAX + 1];
    for (unsigned i = 0; i < n_insns; i++) {
        starts[i] = c->n;
        const unsigned what = below(c, 10);
        if (c->is_32 && !below(c, 8))
            put_old_insn(c);
        else if (what < 6)
            put_frame_insn(c);
        else if (what < 9)
            put_any_insn(c);
        else
            put_branch(c);
    }
    starts[n_insns] = c->n;
    aim_branches(c, starts, n_insns);
}

/* Blocks that differed once. */
static void make_known_block(struct context *c, unsigned i) {
    static const struct {
        uint8_t n, bytes[CODE_MAX];
    } known[] = {
        /* test r11d, r11d; mov rax, [rbx]; inc byte [rcx]; mov rdx, [rsi]; test rax, rax: flags are made again from a
         * register in memory while an address waits */
        {14, {0x45, 0x85, 0xDB, 0x48, 0x8B, 0x03, 0xFE, 0x01, 0x48, 0x8B, 0x16, 0x48, 0x85, 0xC0}},
    };
    c->is_32 = false;
    make_state(c);
    c->n = known[i % (sizeof known / sizeof *known)].n;
    memcpy(c->code, known[i % (sizeof known / sizeof *known)].bytes, c->n);
}

/* ---- comparing ---- */

static void print_block(const struct context *c) {
    ZydisDisassembledInstruction d;
    for (unsigned at = 0; at < c->n; at += d.info.length) {
        if (!ZYAN_SUCCESS(ZydisDisassembleIntel(machine_of(c), CASE_RIP + at, c->code + at, c->n - at, &d)))
            break;
        printf("  %03x  %s\n", (unsigned)(CASE_RIP + at) & 0xFFF, d.text);
    }
}

static bool differs(const char *what, unsigned i, uint64_t x, uint64_t y, bool print) {
    if (x != y && print)
        printf("    %s %u: interpreted %llx, translated %llx\n", what, i, (unsigned long long)x,
               (unsigned long long)y);
    return x != y;
}

static bool compare(const struct context *c, bool print) {
    enum { MXCSR_MASK = 28 }; /* the host's where its x87 unit was asked; no guest sees it */
    const struct case_state *x = &c->plain, *y = &c->translated;
    bool bad = false;
    for (unsigned i = 0; i < 16; i++) bad |= differs("gpr", i, x->gpr[i], y->gpr[i], print);
    bad |= differs("rip", 0, x->rip, y->rip, print);
    bad |= differs("rflags", 0, x->rflags & ~(uint64_t)AF, y->rflags & ~(uint64_t)AF, print);
    bad |= differs("vector", 0, x->vector, y->vector, print);
    bad |= differs("error", 0, x->error_code, y->error_code, print);
    bad |= differs("cr2", 0, x->cr2, y->cr2, print);
    for (unsigned i = 0; i < CASE_FP_BYTES; i++)
        if (i / 4 != MXCSR_MASK / 4) bad |= differs("fp", i, x->fp[i], y->fp[i], print);
    for (unsigned i = 0; i < CASE_DATA_BYTES; i++) bad |= differs("data", i, x->data[i], y->data[i], print);
    return !bad;
}

/* Code that writes to the page it is in is another test's. */
int main(int argc, char **argv) {
    const uint64_t n_blocks = argc > 1 ? strtoull(argv[1], NULL, 0) : 60000;
    struct context *c = calloc(1, sizeof *c);
    unsigned failed = 0;
    if (!c) return 2;
    c->random.state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    c->guest = soft_guest_new();
    c->forms = case_forms(64, &c->n_forms);
    if (!c->guest || !c->forms) return 2;
    for (uint64_t i = 0; i < n_blocks && failed < 8; i++) {
        if (i < KNOWN_RUNS)
            make_known_block(c, (unsigned)i);
        else
            make_block(c);
        soft_guest_set_width(c->guest, c->is_32 ? 32 : 64);
        if (!soft_guest_run_block(c->guest, false, false, c->code, c->n, &c->in, &c->plain)) continue;
        const bool is_cold = !below(c, 4);
        bool ended = soft_guest_run_block(c->guest, true, is_cold, c->code, c->n, &c->in, &c->translated);
        if (ended && compare(c, false)) continue;
        printf("block %llu of %u bits%s%s\n", (unsigned long long)i, c->is_32 ? 32 : 64,
               is_cold ? ", without translations" : "", ended ? "" : ", without end");
        print_block(c);
        printf("    before: rflags %llx\n", (unsigned long long)c->in.rflags);
        compare(c, true);
        failed++;
    }
    printf("%llu blocks: %u differ\n", (unsigned long long)n_blocks, failed);
    free(c->forms);
    free(c);
    return failed != 0;
}
