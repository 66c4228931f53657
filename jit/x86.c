/* jit/x86.c: encodings (asm.h). */
#include "jit/x86.h"

#include <string.h>

#define LONGEST_INSTRUCTION 15

void x86_init(struct x86 *a, const struct atoll_alloc *alloc) { *a = (struct x86){.alloc = alloc}; }

void x86_fini(struct x86 *a) {
    atoll_free(a->alloc, a->bytes, a->capacity);
    atoll_free(a->alloc, a->literals, a->cap_literals);
    atoll_free(a->alloc, a->fixups, a->cap_fixups * sizeof *a->fixups);
    atoll_free(a->alloc, a->literal_fixups, a->cap_literal_fixups * sizeof *a->literal_fixups);
}

static bool room(struct x86 *a, size_t n) {
    if (a->failed) return false;
    if (a->capacity - a->size >= n) return true;
    a->failed = atoll_grow(a->alloc, (void **)&a->bytes, &a->capacity, a->size + n, 1);
    return !a->failed;
}

static void put(struct x86 *a, uint8_t byte) { a->bytes[a->size++] = byte; }
static void put32(struct x86 *a, uint32_t value) {
    memcpy(a->bytes + a->size, &value, 4);
    a->size += 4;
}

static void add_fixup(struct x86 *a, bool literal, uint32_t to, uint32_t trailing) {
    struct x86_fixup **list = literal ? &a->literal_fixups : &a->fixups;
    size_t *n = literal ? &a->n_literal_fixups : &a->n_fixups;
    size_t *cap = literal ? &a->cap_literal_fixups : &a->cap_fixups;
    if (*n == *cap && atoll_grow(a->alloc, (void **)list, cap, *n + 1, sizeof **list)) {
        a->failed = true;
        return;
    }
    (*list)[(*n)++] = (struct x86_fixup){(uint32_t)a->size, to, trailing};
}

static void put_memory(struct x86 *a, unsigned reg, struct x86_rm rm, unsigned trailing) {
    if (rm.base == X86_RIP) {
        put(a, (uint8_t)(reg << 3 | 5));
        add_fixup(a, true, (uint32_t)rm.disp, trailing);
        put32(a, 0);
        return;
    }
    bool sib = rm.index >= 0 || rm.base < 0 || (rm.base & 7) == RSP;
    bool no_base = rm.base < 0;
    bool zero = rm.disp == 0 && !no_base && (rm.base & 7) != RBP;
    bool small = rm.disp >= -128 && rm.disp < 128;
    unsigned mode = no_base || zero ? 0 : small ? 1 : 2;
    put(a, (uint8_t)(mode << 6 | reg << 3 | (sib ? 4u : (unsigned)rm.base & 7)));
    if (sib) {
        unsigned index = rm.index >= 0 ? (unsigned)rm.index & 7 : 4,
                 base = no_base ? 5 : (unsigned)rm.base & 7;
        put(a, (uint8_t)((unsigned)rm.scale << 6 | index << 3 | base));
    }
    if (mode == 1)
        put(a, (uint8_t)rm.disp);
    else if (mode == 2 || no_base)
        put32(a, (uint32_t)rm.disp);
}

static void put_rm(struct x86 *a, int reg, struct x86_rm rm, unsigned trailing) {
    if (rm.memory)
        put_memory(a, (unsigned)reg & 7, rm, trailing);
    else
        put(a, (uint8_t)(0xC0 | ((unsigned)reg & 7) << 3 | ((unsigned)rm.base & 7)));
}

static unsigned high(int reg) { return reg >= 0 ? (unsigned)reg >> 3 & 1 : 0; }

static void encode(struct x86 *a, uint32_t op, int reg, struct x86_rm rm, unsigned trailing) {
    static const uint8_t prefixes[] = {0, 0x66, 0xF3, 0xF2};
    unsigned prefix = op >> 10 & 3, map = op >> 8 & 3;
    unsigned rex = (op & X86_W ? 8 : 0) | high(reg) << 2 | high(rm.index) << 1 | high(rm.base);
    bool low_byte =
        (op & X86_BYTE && (reg & 15) >= 4) || (op & X86_BYTE_RM && !rm.memory && (rm.base & 15) >= 4);
    if (prefix) put(a, prefixes[prefix]);
    if (rex || low_byte) put(a, (uint8_t)(0x40 | rex));
    if (map) put(a, 0x0F);
    if (map > 1) put(a, map == 2 ? 0x38 : 0x3A);
    put(a, (uint8_t)op);
    put_rm(a, reg, rm, trailing);
}

void x86_op(struct x86 *a, uint32_t op, int reg, struct x86_rm rm) {
    if (room(a, LONGEST_INSTRUCTION)) encode(a, op, reg, rm, 0);
}

static void put_imm(struct x86 *a, int32_t imm, unsigned n) {
    for (unsigned i = 0; i < n; i++) put(a, (uint8_t)((uint32_t)imm >> 8 * i));
}

void x86_op_imm(struct x86 *a, uint32_t op, int reg, struct x86_rm rm, int32_t imm, unsigned imm_bytes) {
    if (!room(a, LONGEST_INSTRUCTION)) return;
    encode(a, op, reg, rm, imm_bytes);
    put_imm(a, imm, imm_bytes);
}

static void encode_vex(struct x86 *a, uint32_t op, int reg, int vvvv, struct x86_rm rm, unsigned trailing) {
    unsigned map = op >> 8 & 3, pp = op >> 10 & 3, w = op & X86_W ? 1 : 0;
    unsigned low = (~(unsigned)vvvv & 15) << 3 | (op & X86_L ? 4 : 0) | pp;
    if (map == 1 && !w && !high(rm.index) && !high(rm.base)) {
        put(a, 0xC5);
        put(a, (uint8_t)((high(reg) ^ 1) << 7 | low));
    } else {
        put(a, 0xC4);
        put(a, (uint8_t)((high(reg) ^ 1) << 7 | (high(rm.index) ^ 1) << 6 | (high(rm.base) ^ 1) << 5 | map));
        put(a, (uint8_t)(w << 7 | low));
    }
    put(a, (uint8_t)op);
    put_rm(a, reg, rm, trailing);
}

void x86_vex(struct x86 *a, uint32_t op, int reg, int vvvv, struct x86_rm rm) {
    if (room(a, LONGEST_INSTRUCTION)) encode_vex(a, op, reg, vvvv, rm, 0);
}

void x86_vex_imm(struct x86 *a, uint32_t op, int reg, int vvvv, struct x86_rm rm, int32_t imm) {
    if (!room(a, LONGEST_INSTRUCTION)) return;
    encode_vex(a, op, reg, vvvv, rm, 1);
    put_imm(a, imm, 1);
}

void x86_op3(struct x86 *a, uint32_t op, int dst, int left, struct x86_rm right) {
    if (a->avx) {
        x86_vex(a, op, dst, left & 15, right);
        return;
    }
    if (dst != left) x86_op(a, X86_MOVAPS, dst, x86_reg(left));
    x86_op(a, op, dst, right);
}

void x86_alu_imm(struct x86 *a, unsigned operation, uint32_t w, struct x86_rm rm, int32_t imm) {
    bool small = imm >= -128 && imm < 128;
    x86_op_imm(a, X86_CODE(0, 0, small ? 0x83 : 0x81) | w, (int)operation, rm, imm, small ? 1 : 4);
}

void x86_shift_imm(struct x86 *a, unsigned operation, uint32_t w, int reg, unsigned count) {
    x86_op_imm(a, X86_CODE(0, 0, 0xC1) | w, (int)operation, x86_reg(reg), (int32_t)count, 1);
}

void x86_shift_cl(struct x86 *a, unsigned operation, uint32_t w, int reg) {
    x86_op(a, X86_CODE(0, 0, 0xD3) | w, (int)operation, x86_reg(reg));
}

void x86_bswap(struct x86 *a, uint32_t w, int reg) {
    if (!room(a, LONGEST_INSTRUCTION)) return;
    if (w || high(reg)) put(a, (uint8_t)(0x40 | (w ? 8 : 0) | (high(reg) ? 1 : 0)));
    put(a, 0x0F);
    put(a, (uint8_t)(0xC8 | (reg & 7)));
}

void x86_const(struct x86 *a, int reg, uint64_t value) {
    if (!room(a, LONGEST_INSTRUCTION)) return;
    if (value <= UINT32_MAX) {
        if (high(reg)) put(a, 0x41);
        put(a, (uint8_t)(0xB8 | (reg & 7)));
        put32(a, (uint32_t)value);
    } else if ((int64_t)value == (int32_t)value) {
        x86_op_imm(a, X86_CODE(0, 0, 0xC7) | X86_W, 0, x86_reg(reg), (int32_t)value, 4);
    } else {
        put(a, (uint8_t)(0x48 | high(reg)));
        put(a, (uint8_t)(0xB8 | (reg & 7)));
        put32(a, (uint32_t)value);
        put32(a, (uint32_t)(value >> 32));
    }
}

void x86_bytes(struct x86 *a, uint64_t bytes, unsigned n) {
    if (!room(a, n)) return;
    for (unsigned i = 0; i < n; i++) put(a, (uint8_t)(bytes >> 8 * i));
}

void x86_nops(struct x86 *a, unsigned n) {
    /* source  the manual's NOP, "Recommended Multi-Byte Sequence of NOP Instruction" */
    static const uint8_t nops[][9] = {{0x90},
                                      {0x66, 0x90},
                                      {0x0F, 0x1F, 0x00},
                                      {0x0F, 0x1F, 0x40, 0x00},
                                      {0x0F, 0x1F, 0x44, 0x00, 0x00},
                                      {0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00},
                                      {0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00},
                                      {0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
                                      {0x66, 0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00}};
    if (!room(a, n)) return;
    for (unsigned k; n; n -= k) {
        k = n < 9 ? n : 9;
        memcpy(a->bytes + a->size, nops[k - 1], k);
        a->size += k;
    }
}

static void move_fixups(struct x86_fixup *fixups, size_t n_fixups, size_t at, unsigned n) {
    while (n_fixups && fixups[n_fixups - 1].at >= at) fixups[--n_fixups].at += n;
}

void x86_nops_before(struct x86 *a, size_t at, unsigned n) {
    size_t end = a->size;
    if (!room(a, n)) return;
    memmove(a->bytes + at + n, a->bytes + at, end - at);
    a->size = at;
    x86_nops(a, n);
    a->size = end + n;
    move_fixups(a->fixups, a->n_fixups, at, n);
    move_fixups(a->literal_fixups, a->n_literal_fixups, at, n);
}

void x86_jump(struct x86 *a, uint32_t label) {
    if (!room(a, LONGEST_INSTRUCTION)) return;
    put(a, 0xE9);
    add_fixup(a, false, label, 0);
    put32(a, 0);
}

void x86_branch(struct x86 *a, unsigned condition, uint32_t label) {
    if (!room(a, LONGEST_INSTRUCTION)) return;
    put(a, 0x0F);
    put(a, (uint8_t)(0x80 | condition));
    add_fixup(a, false, label, 0);
    put32(a, 0);
}

struct x86_rm x86_literal(struct x86 *a, const void *bytes, unsigned n_bytes) {
    struct x86_rm rm = {.base = X86_RIP, .index = X86_NO_REG, .memory = true};
    size_t recent =
        a->n_literals > 1024 ? a->n_literals - 1024 : 0; /* bounded: the pool is searched in order */
    for (size_t at = (recent + n_bytes - 1) / n_bytes * n_bytes; at + n_bytes <= a->n_literals; at += n_bytes)
        if (!memcmp(a->literals + at, bytes, n_bytes)) {
            rm.disp = (int32_t)at;
            return rm;
        }
    size_t at = (a->n_literals + n_bytes - 1) / n_bytes * n_bytes;
    if (at + n_bytes > a->cap_literals &&
        atoll_grow(a->alloc, (void **)&a->literals, &a->cap_literals, at + n_bytes, 1)) {
        a->failed = true;
        return rm;
    }
    memset(a->literals + a->n_literals, 0, at - a->n_literals);
    memcpy(a->literals + at, bytes, n_bytes);
    a->n_literals = at + n_bytes;
    rm.disp = (int32_t)at;
    return rm;
}

static void fill(struct x86 *a, const struct x86_fixup *fixup, uint32_t target) {
    uint32_t distance = target - (fixup->at + 4 + fixup->trailing);
    memcpy(a->bytes + fixup->at, &distance, 4);
}

bool x86_finish(struct x86 *a, const uint32_t *labels) {
    while (a->size & 15 && room(a, 1)) put(a, 0xCC);
    uint32_t start = (uint32_t)a->size;
    if (!room(a, a->n_literals)) return false;
    if (a->n_literals) memcpy(a->bytes + a->size, a->literals, a->n_literals);
    a->size += a->n_literals;
    for (size_t i = 0; i < a->n_fixups; i++) fill(a, a->fixups + i, labels[a->fixups[i].to]);
    for (size_t i = 0; i < a->n_literal_fixups; i++)
        fill(a, a->literal_fixups + i, start + a->literal_fixups[i].to);
    return true;
}
