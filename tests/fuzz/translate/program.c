/* tests/fuzz/translate/program.c: loops over accesses around a few bases, any form of the semantics table,
 * branches, calls, writes to code, string instructions and what goes into the kernel. */
#include "tests/fuzz/translate/program.h"
#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/translate/guest.h"

/* The largest is a call of the largest that put_frame makes. */
enum { INSNS_MAX = 40, INSN_ROOM = 125, COUNTERS = CASE_DATA + 0xF00 };

struct maker {
    struct case_random *random;
    uint8_t *out;
    size_t n, max;
    bool is_32;
    size_t starts[INSNS_MAX + 1];   /* of instructions */
    size_t branches[INSNS_MAX + 1]; /* where the distance of 4 bytes of one stands; 0: it has none */
};

static unsigned below(struct maker *m, unsigned n) { return (unsigned)(case_random(m->random) >> 20) % n; }
static bool one_in(struct maker *m, unsigned n) { return !below(m, n); }

static void put(struct maker *m, const uint8_t *bytes, size_t n) {
    memcpy(m->out + m->n, bytes, n);
    m->n += n;
}
#define PUT(m, ...) put(m, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
static void put_any(struct maker *m, unsigned n) {
    while (n--) PUT(m, (uint8_t)(case_random(m->random) >> 8));
}
static void put32(struct maker *m, uint32_t value) {
    PUT(m, (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24));
}
/* In 32-bit code the prefix of DS, which changes nothing, takes its place. */
static uint8_t rex(const struct maker *m, unsigned w, unsigned reg, unsigned index, unsigned rm) {
    if (m->is_32) return 0x3E;
    return (uint8_t)(0x40 | w << 3 | (reg >= 8) << 2 | (index >= 8) << 1 | (rm >= 8));
}

/* ---- addresses ---- */

/* An address that is often that of data, near a border now and then. */
static uint32_t some_address(struct maker *m) {
    static const uint8_t pages[] = {0, 0, 0, 1, 1, 2, 4, 4, 6, 6, 3, 5, 7, 8};
    const uint32_t page = CASE_DATA + pages[below(m, sizeof pages)] * (uint32_t)CASE_PAGE;
    return below(m, 4) ? page + below(m, CASE_PAGE) : page + CASE_PAGE - 64 + below(m, 128);
}

/* ModRM of an operand at a base and a small distance. */
static void put_memory(struct maker *m, unsigned reg, unsigned base) {
    const bool is_far = one_in(m, 6);
    const unsigned mod = is_far ? 0x80 : 0x40;
    if ((base & 7) == 4)
        PUT(m, (uint8_t)(mod | 4 | (reg & 7) << 3), (uint8_t)(0x20 | (base & 7)));
    else
        PUT(m, (uint8_t)(mod | (reg & 7) << 3 | (base & 7)));
    if (is_far)
        put32(m, below(m, 1024) - 512);
    else
        put_any(m, 1);
}

/* ---- kinds of instructions ---- */

/* mov of an address, or a small number, to a register. */
static void put_value(struct maker *m, unsigned reg) {
    PUT(m, rex(m, 0, 0, 0, reg), (uint8_t)(0xB8 | (reg & 7)));
    put32(m, below(m, 3) ? some_address(m) : below(m, 256));
}

/* A constant more or less in a register, in one of the ways there are. */
static void put_move(struct maker *m, unsigned reg) {
    switch (below(m, 4)) {
    case 0: PUT(m, rex(m, 1, 0, 0, reg), 0xFF, (uint8_t)(0xC0 | (reg & 7))); return; /* inc, dec */
    case 1: PUT(m, rex(m, 1, 0, 0, reg), 0xFF, (uint8_t)(0xC8 | (reg & 7))); return;
    case 2: PUT(m, rex(m, 1, reg, 0, reg), 0x8D), put_memory(m, reg, reg); return; /* lea */
    default:                                                                       /* add, sub */
        PUT(m, rex(m, 1, 0, 0, reg), 0x83, (uint8_t)(0xC0 | below(m, 2) * 0x28 | (reg & 7)));
        put_any(m, 1);
        return;
    }
}

/* Accesses at a base that moves between them: what shares a look at the TLB, and where each of it lies. Between them, at
 * times, one to a page that has the same place in the TLB. */
static void put_climb(struct maker *m, unsigned base) {
    static const uint8_t opcodes[] = {0x8B, 0x89, 0x03, 0x01, 0x29, 0x3B, 0x88};
    if (base == 4) base = 3;
    const unsigned other = 8 + below(m, 4);
    put_value(m, base);
    if (one_in(m, 3))
        PUT(m, rex(m, 1, base, 0, other), 0x89, (uint8_t)(0xC0 | (base & 7) << 3 | (other & 7)));
    for (unsigned n = 2 + below(m, 3); n; n--) {
        const unsigned at = one_in(m, 5) ? other : base, reg = below(m, 4);
        PUT(m, rex(m, below(m, 2), reg, 0, at), opcodes[below(m, sizeof opcodes)]), put_memory(m, reg, at);
        if (below(m, 3)) put_move(m, at);
        if (!one_in(m, 8)) continue;
        PUT(m, 0x8B, (uint8_t)(4 | below(m, 4) << 3), 0x25);
        put32(m, some_address(m) + GUEST_FAR);
    }
}

/* Accesses around a few bases, changes of these by constants, pushes and pops: what translated code treats together. */
static void put_frame(struct maker *m) {
    const unsigned reg = below(m, 16), w = below(m, 3) != 0;
    const unsigned base = below(m, 2) ? 3 + below(m, 4) : below(m, 16);
    const uint8_t prefix = rex(m, w, reg, 0, base);
    if (one_in(m, 4)) put_value(m, base);
    switch (below(m, 15)) {
    case 0: PUT(m, prefix, 0x8B), put_memory(m, reg, base); return;
    case 1: PUT(m, prefix, 0x89), put_memory(m, reg, base); return;
    case 2: PUT(m, prefix, (uint8_t)(below(m, 8) << 3 | below(m, 4))), put_memory(m, reg, base); return;
    case 3: PUT(m, rex(m, 0, 0, 0, reg), (uint8_t)(0x50 | (reg & 7))); return; /* push */
    case 4: PUT(m, rex(m, 0, 0, 0, reg), (uint8_t)(0x58 | (reg & 7))); return; /* pop */
    case 5:                                                                    /* add or sub of a constant */
        PUT(m, rex(m, 1, 0, 0, base), 0x83, (uint8_t)(0xC0 | below(m, 2) * 0x28 | (base & 7)));
        put_any(m, 1);
        return;
    case 6: PUT(m, rex(m, 1, reg, 0, base), 0x8D), put_memory(m, reg, base); return; /* lea */
    case 7: /* movups, either way, or movaps */
        PUT(m, rex(m, 0, reg, 0, base), 0x0F, (uint8_t)((one_in(m, 4) ? 0x28 : 0x10) | below(m, 2)));
        put_memory(m, reg, base);
        return;
    case 8: /* vmovdqu of ymm, either way */
        PUT(m, 0xC4, (uint8_t)((reg < 8) << 7 | 0x40 | (base < 8) << 5 | 1), 0x7E,
            (uint8_t)(0x6F | below(m, 2) << 4));
        put_memory(m, reg, base);
        return;
    case 10:
        PUT(m, prefix, 0x0F, (uint8_t)(0x90 + below(m, 16)), (uint8_t)(0xC0 | (base & 7)));
        return; /* setcc */
    case 11:    /* adc or sbb, or cmovcc */
        if (one_in(m, 2))
            PUT(m, prefix, (uint8_t)(0x11 + below(m, 2) * 8), (uint8_t)(0xC0 | (reg & 7) << 3 | (base & 7)));
        else
            PUT(m, prefix, 0x0F, (uint8_t)(0x40 + below(m, 16)),
                (uint8_t)(0xC0 | (reg & 7) << 3 | (base & 7)));
        return;
    case 9: PUT(m, rex(m, w, reg, 0, base), 0x0F, 0xB6), put_memory(m, reg, base); return; /* movzx */
    case 12: put_move(m, base); return;
    case 13: put_climb(m, base); return;
    default: PUT(m, rex(m, 1, reg, 0, base), 0x89, (uint8_t)(0xC0 | (reg & 7) << 3 | (base & 7))); return;
    }
}

/* An index made small, in r12 or r13, or nearly so, and an access to what may be a table: at a base that is not 4, or, 4,
 * at an address. */
static void put_lookup(struct maker *m, unsigned base) {
    static const uint8_t opcodes[] = {0x8B, 0x89, 0x03, 0x01, 0x33, 0x3B, 0x31, 0x88, 0x8A, 0x8D};
    const unsigned index = 12 + below(m, 2), from = below(m, 2) * 2, reg = 2 - from, wide = one_in(m, 4);
    const bool is_copy = below(m, 3);
    if (is_copy) PUT(m, rex(m, wide, from, 0, index), 0x89, (uint8_t)(0xC0 | from << 3 | (index & 7)));
    switch (below(m, 8)) {
    case 0: /* and */
        PUT(m, rex(m, wide, 0, 0, index), 0x83, (uint8_t)(0xE0 | (index & 7)), (uint8_t)below(m, 130));
        break;
    case 1:
        PUT(m, rex(m, wide, 0, 0, index), 0x81, (uint8_t)(0xE0 | (index & 7)));
        put32(m, below(m, 4) ? below(m, 1024) : 0x80000000 | below(m, 256));
        break;
    case 2: /* shr */
        PUT(m, rex(m, wide, 0, 0, index), 0xC1, (uint8_t)(0xE8 | (index & 7)),
            (uint8_t)(wide * 32 + 20 + below(m, 14)));
        break;
    case 3: /* mov of a byte: the others stay */
        PUT(m, rex(m, 0, from, 0, index), 0x88, (uint8_t)(0xC0 | from << 3 | (index & 7)));
        break;
    case 4: /* movzx of a word */
        PUT(m, rex(m, wide, index, 0, from), 0x0F, 0xB7, (uint8_t)(0xC0 | (index & 7) << 3 | from));
        PUT(m, rex(m, 0, 0, 0, index), 0xC1, (uint8_t)(0xE8 | (index & 7)), (uint8_t)below(m, 16));
        break;
    case 5: /* mov */
        PUT(m, rex(m, 0, 0, 0, index), (uint8_t)(0xB8 | (index & 7)));
        put32(m, below(m, 300));
        break;
    default: /* movzx of a byte */
        PUT(m, rex(m, wide, index, 0, from), 0x0F, 0xB6, (uint8_t)(0xC0 | (index & 7) << 3 | from));
        break;
    }
    if (one_in(m, 8)) put_move(m, index);
    const bool is_swapped = base != 4 && one_in(m, 6); /* either may be the base */
    const unsigned scale = is_swapped ? 0 : below(m, 4), i = is_swapped ? base : index,
                   b = is_swapped ? index : base;
    if (one_in(m, 8))
        PUT(m, rex(m, 0, reg, i, b), 0x0F, (uint8_t)((one_in(m, 4) ? 0x28 : 0x10) | below(m, 2)));
    else
        PUT(m, rex(m, below(m, 2), reg, i, b), opcodes[below(m, sizeof opcodes)]);
    PUT(m, (uint8_t)((base == 4 ? 4 : 0x44) | reg << 3),
        (uint8_t)(scale << 6 | (i & 7) << 3 | (base == 4 ? 5 : b & 7)));
    if (base == 4)
        put32(m, some_address(m));
    else
        put_any(m, 1);
}

/* Displacements that stay near, indices that are small. */
static void tame(struct maker *m, uint8_t *bytes, unsigned n) {
    ZydisDisassembledInstruction d;
    if (m->is_32) case_drop_rex(bytes, n);
    const ZydisMachineMode machine =
        m->is_32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64;
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(machine, CASE_RIP, bytes, n, &d))) return;
    for (unsigned i = 0; i < d.info.operand_count; i++) {
        const ZydisDecodedOperand *o = d.operands + i;
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base == ZYDIS_REGISTER_NONE ||
            o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)
            continue;
        const int32_t near = (int32_t)below(m, 512) - 256;
        if (d.info.raw.disp.size == 32) memcpy(bytes + d.info.raw.disp.offset, &near, 4);
        if (o->mem.index == ZYDIS_REGISTER_NONE || o->mem.type == ZYDIS_MEMOP_TYPE_VSIB || one_in(m, 4))
            continue;
        const unsigned index = (unsigned)ZydisRegisterGetId(o->mem.index);
        PUT(m, rex(m, 0, 0, 0, index), (uint8_t)(0xB8 | (index & 7)));
        put32(m, below(m, 128));
    }
}

static void put_form(struct maker *m) {
    static struct case_form *forms;
    static unsigned n_forms;
    static struct case_state unused;
    if (!forms) forms = case_forms(64, &n_forms);
    uint8_t bytes[15];
    unsigned n = 0;
    while (!n) n = case_make(m->random, forms + below(m, n_forms), bytes, &unused);
    tame(m, bytes, n);
    put(m, bytes, n);
}

/* Users' code goes on with either width, if it stands where most programs do; before that by a jump that is indirect, so
 * that an address leads to code of both. */
static void put_switch(struct maker *m, bool is_32) {
    const uint8_t selector = one_in(m, 2) ? 0x1B : 0x2B;
    PUT(m, 0xE8, 0, 0, 0, 0, 0x58, 0x05, 8, 0, 0, 0, 0xFF, 0xE0); /* call behind itself; pop; add eax; jmp */
    const uint32_t here = CASE_RIP + (uint32_t)m->n;
    if (is_32 && one_in(m, 4)) { /* jmp far */
        PUT(m, 0xEA);
        put32(m, here + 7);
        PUT(m, selector, 0);
    } else { /* push; push; retf */
        PUT(m, 0x6A, selector, 0x68);
        put32(m, here + 9);
        PUT(m, 0x48, 0xCB);
    }
}

static void put_system(struct maker *m) {
    switch (below(m, 15)) {
    case 0: PUT(m, 0x0F, 0x05); return; /* syscall */
    case 1: PUT(m, 0xCD, 0x80); return; /* int */
    case 2: PUT(m, 0x9C); return;       /* pushf, popf */
    case 3: PUT(m, 0x9D); return;
    case 4: PUT(m, 0xFA); return; /* cli, sti */
    case 5: PUT(m, 0xFB); return;
    case 6: PUT(m, 0x0F, 0x01, 0xF8); return;                                       /* swapgs */
    case 7: PUT(m, 0x0F, 0x01, 0x38 + (uint8_t)below(m, 4)); return;                /* invlpg */
    case 8: PUT(m, 0x0F, 0x01, (uint8_t)(0xCA + below(m, 2))); return;              /* clac, stac */
    case 9: PUT(m, 0xF3, 0x48, 0x0F, 0xAE, (uint8_t)(0xC0 + below(m, 32))); return; /* rdfsbase .. wrgsbase */
    case 10: /* through a segment with a base */
        PUT(m, (uint8_t)(0x64 + below(m, 2)), 0x48, 0x8B, (uint8_t)(below(m, 8) << 3 | 4), 0x25);
        put32(m, below(m, 4096));
        return;
    case 11: PUT(m, (uint8_t)(0xFC + below(m, 2))); return; /* cld, std */
    case 12: PUT(m, 0x48, 0xCF); return;                    /* iretq */
    case 13: put_switch(m, false); return;
    default: PUT(m, 0x0F, 0xA2); return; /* cpuid */
    }
}

static void put_string(struct maker *m) {
    static const uint8_t opcodes[] = {0xA4, 0xA5, 0xAA, 0xAB, 0xA6, 0xA7, 0xAE, 0xAF, 0xAC, 0xAD};
    PUT(m, 0xB9);
    put32(m, below(m, 200));
    if (below(m, 3)) PUT(m, 0xBE), put32(m, some_address(m));
    if (below(m, 3)) PUT(m, 0xBF), put32(m, some_address(m));
    if (below(m, 4)) PUT(m, (uint8_t)(0xF2 + below(m, 2)));
    if (one_in(m, 2)) PUT(m, 0x48);
    PUT(m, opcodes[below(m, sizeof opcodes)]);
}

/* A byte of code, somewhere near, written by its own address or by another. */
static void put_write_to_code(struct maker *m) {
    const uint32_t distance = below(m, 96) - 32;
    const uint8_t value = one_in(m, 2) ? 0x90 : (uint8_t)case_random(m->random);
    if (one_in(m, 2)) {
        PUT(m, 0xC6, 0x05);
        put32(m, distance);
    } else { /* the first page of code stands there again; this is near where programs start */
        PUT(m, 0xC6, 0x04, 0x25);
        put32(m, CASE_DATA + GUEST_CODE_AGAIN * CASE_PAGE + CASE_RIP % CASE_PAGE + (uint32_t)m->n + distance);
    }
    PUT(m, value);
}

static void put_call(struct maker *m) {
    uint8_t body[INSN_ROOM];
    struct maker inner = {.random = m->random, .out = body, .is_32 = m->is_32};
    if (one_in(m, 2))
        put_frame(&inner);
    else
        put_form(&inner);
    const bool comes_back_elsewhere = one_in(m, 4);
    const uint8_t n = (uint8_t)(inner.n + 1 + (comes_back_elsewhere ? 5 : 0));
    PUT(m, 0xE8, 2, 0, 0, 0, 0xEB, n); /* call; jmp behind what it calls */
    put(m, body, inner.n);
    if (comes_back_elsewhere) PUT(m, 0x48, 0x83, 0x04, 0x24, (uint8_t)(n + 2)); /* add [rsp]: behind itself */
    PUT(m, 0xC3);
}

/* What only 32-bit code has. */
static void put_old(struct maker *m) {
    const uint8_t reg = (uint8_t)below(m, 8), index = (uint8_t)(reg == 4 ? 3 : reg);
    const uint8_t other = (uint8_t)below(m, 2);
    switch (below(m, 14)) {
    case 0:
    case 1: PUT(m, (uint8_t)(0x40 | below(m, 16))); return; /* inc, dec */
    case 2: PUT(m, 0x66, (uint8_t)(0x40 | below(m, 16))); return;
    case 3: PUT(m, (uint8_t)(0x60 | below(m, 2))); return;                       /* pusha, popa */
    case 4: PUT(m, 0x82, (uint8_t)(0xC0 | below(m, 64))), put_any(m, 1); return; /* add .. cmp */
    case 5:                                                                      /* a moffs of either width */
        PUT(m, (uint8_t)(0xA0 + below(m, 4)));
        put32(m, some_address(m));
        return;
    case 6: /* segments into the stack, and back */
        PUT(m, (uint8_t)(0x06 | below(m, 4) << 3));
        if (below(m, 4)) PUT(m, 0x0F, (uint8_t)(0xA1 | below(m, 2) << 3)); /* pop fs, gs */
        return;
    case 7: /* mov fs or gs, of a selector or none; an access, where it then begins at 0 */
        PUT(m, 0x66, 0xB8, (uint8_t)(one_in(m, 2) ? 0 : 0x23), 0, 0x8E, (uint8_t)(0xE0 | other << 3));
        if (one_in(m, 3)) return;
        PUT(m, (uint8_t)(0xB8 | index)), put32(m, some_address(m));
        PUT(m, (uint8_t)(0x64 + other), (uint8_t)(0x88 + below(m, 4)));
        PUT(m, (uint8_t)(0x40 | below(m, 8) << 3 | index), 0);
        return;
    case 8: /* through fs or gs, at a register, around 0 */
    case 9:
        if (below(m, 4)) PUT(m, (uint8_t)(0xB8 | index)), put32(m, below(m, 16) - 10);
        PUT(m, (uint8_t)(0x64 + below(m, 2)), (uint8_t)(0x88 + below(m, 4)));
        PUT(m, (uint8_t)(0x40 | below(m, 8) << 3 | index), (uint8_t)(below(m, 8) ? 0 : below(m, 256)));
        return;
    case 10: /* through fs or gs, at a constant */
        PUT(m, (uint8_t)(0x64 + below(m, 2)), (uint8_t)(0xA0 + below(m, 4)));
        put32(m, one_in(m, 2) ? below(m, 4096) : below(m, 64) - 64);
        return;
    case 11: PUT(m, 0x68), put_any(m, 4), PUT(m, (uint8_t)(0x58 | reg)); return; /* push, pop */
    case 12: /* push from memory, pop into it */
        if (one_in(m, 2))
            PUT(m, 0xFF), put_memory(m, 6, reg);
        else
            PUT(m, 0x8F), put_memory(m, 0, reg);
        return;
    default: put_switch(m, true); return;
    }
}

static void put_insn(struct maker *m) {
    const unsigned what = below(m, 100);
    if (m->is_32 && one_in(m, 24)) {
        put_switch(m, true);
        return;
    }
    if (m->is_32 && one_in(m, 5)) {
        put_old(m);
        return;
    }
    if (what < 4)
        put_lookup(m, 3 + below(m, 4));
    else if (what < 40)
        put_frame(m);
    else if (what < 70)
        put_form(m);
    else if (what < 80)
        put_value(m, below(m, 16));
    else if (what < 85)
        put_string(m);
    else if (what < 90)
        put_system(m);
    else if (what < 95)
        put_write_to_code(m);
    else
        put_call(m);
}

size_t program_insn(struct case_random *random, bool is_32, uint8_t *out, size_t max) {
    struct maker m = {.random = random, .out = out, .max = max, .is_32 = is_32};
    if (max < INSN_ROOM) return 0;
    put_insn(&m);
    return m.n;
}

/* ---- programs ---- */

/* Forwards, aimed when it is known where the others start. */
static void put_branch(struct maker *m, unsigned i) {
    switch (below(m, 4)) {
    case 0: PUT(m, 0xE9); break;
    case 1:           /* lea rax; jmp rax, or push and ret */
        if (m->is_32) /* call behind itself; pop eax; add eax, .. */
            PUT(m, 0xE8, 0, 0, 0, 0, 0x58, 0x05);
        else
            PUT(m, 0x48, 0x8D, 0x05);
        m->branches[i] = m->n;
        put32(m, 0);
        if (one_in(m, 2))
            PUT(m, 0xFF, 0xE0);
        else
            PUT(m, 0x50, 0xC3);
        return;
    default: PUT(m, 0x0F, (uint8_t)(0x80 + below(m, 16))); break;
    }
    m->branches[i] = m->n;
    put32(m, 0);
}

static void aim_branches(struct maker *m, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if (!m->branches[i]) continue;
        const size_t to = m->starts[i + 1 + below(m, n - i)];
        const uint8_t *op = m->out + m->branches[i] - 2;
        const bool is_popped = m->is_32 && op[0] == 0x58 && op[1] == 0x05;
        const int32_t distance = (int32_t)(to - (m->branches[i] + (is_popped ? (size_t)-2 : 4)));
        memcpy(m->out + m->branches[i], &distance, 4);
    }
}

/* Round and round, counted in memory. */
static void put_loop(struct maker *m, unsigned depth) {
    const uint32_t counter = COUNTERS + depth * 8;
    PUT(m, 0xC7, 0x04, 0x25);
    put32(m, counter);
    put32(m, 1 + below(m, 12));
    const size_t top = m->n;
    const unsigned n_insns = 1 + below(m, INSNS_MAX / 2);
    unsigned n = 0;
    memset(m->branches, 0, sizeof m->branches);
    for (; n < n_insns && m->max - m->n > 2 * INSN_ROOM; n++) {
        m->starts[n] = m->n;
        if (one_in(m, 8))
            put_branch(m, n);
        else
            put_insn(m);
    }
    m->starts[n] = m->n;
    aim_branches(m, n);
    PUT(m, 0xFF, 0x0C, 0x25); /* dec; jnz */
    put32(m, counter);
    PUT(m, 0x0F, 0x85);
    put32(m, (uint32_t)(top - (m->n + 4)));
}

/* An access in a walk: at a base, or at a base and an index. */
static void put_step(struct maker *m, unsigned base, unsigned index, bool aligned) {
    static const uint8_t opcodes[] = {0x8B, 0x89, 0x03, 0x01, 0x33, 0x3B, 0x31, 0x88, 0x8A};
    const unsigned reg = below(m, 2) * 2, w = below(m, 2);
    if (one_in(m, 2))
        PUT(m, rex(m, 0, reg, index, base), 0x0F, (uint8_t)((aligned ? 0x28 : 0x10) | below(m, 2)));
    else
        PUT(m, rex(m, w, reg, index, base), opcodes[below(m, sizeof opcodes)]);
    if (index)
        PUT(m, (uint8_t)(0x44 | reg << 3),
            (uint8_t)((aligned ? 0 : below(m, 4) << 6) | (index & 7) << 3 | (base & 7)));
    else
        PUT(m, (uint8_t)(0x40 | reg << 3 | (base & 7)));
    PUT(m, (uint8_t)(aligned ? below(m, 16) << 4 : below(m, 256)));
    if (one_in(m, 12)) PUT(m, 0x48, 0x11, 0xD0); /* adc rax, rdx */
}

static void put_constant(struct maker *m, unsigned reg, uint32_t value) {
    PUT(m, rex(m, 0, 0, 0, reg), (uint8_t)(0xB8 | (reg & 7)));
    put32(m, value);
}

/* Accesses that move by a constant each round, counted in a register or by an address, as compilers make loops. */
static void put_walk(struct maker *m) {
    static const uint8_t registers[] = {1, 3, 5, 7, 14},
                         strides[] = {16, 32, 0xF0, 48, 8, 4, 1, 24, 0xFC, 0xE8, 0};
    const unsigned moves = registers[below(m, sizeof registers)], stays = one_in(m, 4) ? 9 : 6;
    const unsigned count = below(m, 4) ? 15 : 10;
    const bool aligned = below(m, 3), indexed = one_in(m, 3), by_address = one_in(m, 3);
    const unsigned stride = strides[below(m, aligned ? 4 : sizeof strides)];
    const uint32_t mask = aligned ? ~UINT32_C(63) : ~UINT32_C(0);
    const uint32_t first = (indexed ? below(m, 128) : some_address(m)) & mask;
    put_constant(m, moves, first);
    put_constant(m, stays, some_address(m) & mask);
    put_constant(m, count, by_address ? first + below(m, 100) * stride : 1 + below(m, 300));
    const size_t top = m->n;
    const bool looks_up = one_in(m, 3);
    for (unsigned n = 1 + below(m, 5); n; n--) {
        if (looks_up && one_in(m, 2)) put_lookup(m, one_in(m, 3) ? 4 : stays);
        put_step(m, indexed || one_in(m, 4) ? stays : moves, indexed ? moves : 0, aligned);
    }
    PUT(m, rex(m, 1, 0, 0, moves), 0x83, (uint8_t)(0xC0 | (moves & 7)), (uint8_t)stride);
    if (by_address)
        PUT(m, rex(m, 1, moves, 0, count), 0x39, (uint8_t)(0xC0 | (moves & 7) << 3 | (count & 7)));
    else
        PUT(m, rex(m, 1, 0, 0, count), 0x83, (uint8_t)(0xE8 | (count & 7)), 1);
    PUT(m, 0x0F, by_address && one_in(m, 2) ? 0x82 : 0x85);
    put32(m, (uint32_t)(top - (m->n + 4)));
}

/* A walk whose bytes are looked up in tables, of which some go on into the next page. */
static void put_lookups(struct maker *m) {
    const uint32_t table = some_address(m) & ~UINT32_C(0xFFF);
    put_constant(m, 7, some_address(m));
    put_constant(m, 6, table + below(m, CASE_PAGE));
    if (below(m, 3)) put_constant(m, 0, (uint32_t)case_random(m->random));
    put_constant(m, 15, 20 + below(m, 200));
    const size_t top = m->n;
    PUT(m, 0x0F, 0xB6, 0x17);             /* movzx edx, byte [rdi] */
    PUT(m, 0x48, 0x83, 0xC7, 0x01);       /* add rdi, 1 */
    if (one_in(m, 2)) PUT(m, 0x31, 0xC2); /* xor edx, eax */
    for (unsigned n = 1 + below(m, 3); n; n--) put_lookup(m, one_in(m, 4) ? 4 : 6);
    PUT(m, 0x49, 0x83, 0xEF, 0x01, 0x0F, 0x85); /* sub r15, 1; jnz */
    put32(m, (uint32_t)(top - (m->n + 4)));
}

static void put_header(struct maker *m) {
    struct guest_header header = {.mode = (uint8_t)(case_random(m->random) >> 8),
                                  .flags = (uint8_t)(case_random(m->random) >> 8),
                                  .step = (uint8_t)(1 + below(m, 10))};
    if (one_in(m, 2)) header.step |= GUEST_32;
    if (one_in(m, 4)) header.step |= GUEST_AT_END;
    if (one_in(m, 8)) header.step |= GUEST_NOT_FLAT;
    m->is_32 = header.step & GUEST_32;
    if (below(m, 8)) header.mode &= (uint8_t) ~(GUEST_UNITS_OFF | GUEST_POLLS);
    if (below(m, 4)) header.mode &= (uint8_t)~GUEST_SMAP;
    if (below(m, 4)) header.flags &= (uint8_t)~2;
    header.seed[0] = (uint8_t)below(m, 256), header.seed[1] = (uint8_t)below(m, 256);
    header.start[1] = CASE_RIP % CASE_PAGE >> 8;
    if (one_in(m, 4)) header.start[0] = 0xE0, header.start[1] = (uint8_t)(below(m, 2) * 16 + 15);
    for (unsigned i = 0; i < 16; i++) {
        static const uint8_t kinds[] = {0, 0, 0, 1, 1, 4, 6, 6, 10, 10};
        const unsigned kind = below(m, 4) ? kinds[below(m, sizeof kinds)] : below(m, 16);
        const unsigned low = one_in(m, 4) ? CASE_PAGE - 64 + below(m, 64) : below(m, CASE_PAGE);
        header.registers[i][0] = (uint8_t)low;
        header.registers[i][1] = (uint8_t)(kind << 4 | low >> 8);
    }
    put(m, (const uint8_t *)&header, sizeof header);
}

size_t program_make(struct case_random *random, uint8_t *out, size_t max) {
    struct maker m = {.random = random, .out = out};
    put_header(&m);
    struct maker code = {.random = random, .out = out + m.n, .max = max - m.n, .is_32 = m.is_32};
    const unsigned n_loops = 1 + below(&m, 3);
    for (unsigned i = 0; i < n_loops && code.max - code.n > 3 * INSN_ROOM; i++) {
        if (one_in(&code, 2)) put_walk(&code);
        if (one_in(&code, 2)) put_lookups(&code);
        put_loop(&code, i);
    }
    return m.n + code.n;
}
