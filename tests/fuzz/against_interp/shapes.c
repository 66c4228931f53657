/* tests/fuzz/against_interp/shapes.c: what compilers write, and what ours looks for: rotates, byte swaps, divisions by
 * constants, bit tests, addresses out of a base and an index, values changed in memory, loops over arrays. Chance
 * alone makes them too seldom. */
#include "tests/fuzz/against_interp/generate.h"

static bool is_wide(char type) { return type == 'I'; }
/* The i64 form of an i32 instruction stands at the same distance from its kind's first. */
static enum bc_op sized(char type, enum bc_op op32) {
    if (!is_wide(type)) return op32;
    if (op32 >= BC_I32_EQZ && op32 <= BC_I32_GE_U) return op32 - BC_I32_EQZ + BC_I64_EQZ;
    return op32 - BC_I32_CLZ + BC_I64_CLZ;
}
static void op(struct gen *g, char type, enum bc_op op32) { gen_op(g, sized(type, op32)); }
static void get(struct gen *g, uint32_t local) { gen_op_index(g, BC_LOCAL_GET, local); }
static uint32_t bits_of(char type) { return is_wide(type) ? 64 : 32; }

/* A new value in a local, to be read more than once. */
static uint32_t kept(struct gen *g, char type) {
    uint32_t local = gen_local(g, type);
    gen_value(g, type);
    gen_op_index(g, BC_LOCAL_SET, local);
    return local;
}

/* ---- integers ---- */

static void rotate(struct gen *g, char type) {
    uint32_t x = kept(g, type), n = gen_below(g, bits_of(type));
    get(g, x);
    gen_const(g, type, n);
    op(g, type, BC_I32_SHL);
    get(g, x);
    gen_const(g, type, bits_of(type) - n + (gen_rarely(g, 6) ? 1 : 0));
    op(g, type, gen_rarely(g, 6) ? BC_I32_SHR_S : BC_I32_SHR_U);
    op(g, type, gen_rarely(g, 3) ? BC_I32_XOR : BC_I32_OR);
}

static void rotate_by_variable(struct gen *g, char type) {
    uint32_t x = kept(g, type), n = gen_local(g, type);
    gen_value(g, type);
    gen_op_index(g, BC_LOCAL_SET, n);
    get(g, x);
    get(g, n);
    op(g, type, gen_rarely(g, 2) ? BC_I32_SHL : BC_I32_SHR_U);
    get(g, x);
    gen_const(g, type, gen_rarely(g, 2) ? 0 : bits_of(type));
    get(g, n);
    op(g, type, BC_I32_SUB);
    op(g, type, gen_rarely(g, 2) ? BC_I32_SHL : BC_I32_SHR_U);
    op(g, type, BC_I32_OR);
}

static void swap_bytes(struct gen *g, char type) {
    uint32_t x = kept(g, type);
    get(g, x);
    gen_const(g, type, 24);
    op(g, type, BC_I32_SHL);
    get(g, x);
    gen_const(g, type, 0xFF00);
    op(g, type, BC_I32_AND);
    gen_const(g, type, 8);
    op(g, type, BC_I32_SHL);
    op(g, type, BC_I32_OR);
    get(g, x);
    gen_const(g, type, 8);
    op(g, type, BC_I32_SHR_U);
    gen_const(g, type, 0xFF00);
    op(g, type, BC_I32_AND);
    get(g, x);
    gen_const(g, type, 24);
    op(g, type, BC_I32_SHR_U);
    op(g, type, BC_I32_OR);
    op(g, type, BC_I32_OR);
}

/* Each byte to its place, masked in front of the shift or behind it; sometimes one goes elsewhere, or comes twice. */
static void move_bytes(struct gen *g, char type) {
    uint32_t x = kept(g, type), n = bits_of(type) / 8, swapped = gen_rarely(g, 3) ? 2 : n;
    for (uint32_t k = 0; k < swapped; k++) {
        uint32_t to = gen_rarely(g, 20) ? gen_below(g, n) : swapped - 1 - k;
        uint64_t mask = UINT64_C(0xFF) << 8 * (gen_rarely(g, 20) ? gen_below(g, n) : k);
        bool first = gen_rarely(g, 2);
        get(g, x);
        if (first) {
            gen_const(g, type, mask);
            op(g, type, BC_I32_AND);
        }
        gen_const(g, type, 8 * (to > k ? to - k : k - to));
        op(g, type, to > k ? BC_I32_SHL : BC_I32_SHR_U);
        if (!first) {
            gen_const(g, type, to > k ? mask << 8 * (to - k) : mask >> 8 * (k - to));
            op(g, type, BC_I32_AND);
        }
        if (k) op(g, type, gen_rarely(g, 20) ? BC_I32_ADD : BC_I32_OR);
    }
    if (!gen_rarely(g, 4)) return;
    gen_const(g, type, gen_rarely(g, 2) ? 0xFFFF : 0xFF00FF);
    op(g, type, BC_I32_AND);
}

static void change_bit(struct gen *g,
                       char type) { /* set, clear, flip one, by a count that may be too large */
    bool hole = gen_rarely(g, 3), turned = gen_rarely(g, 3);
    if (!turned) gen_value(g, type);
    gen_const(g, type, hole ? UINT64_MAX - 1 : 1 + (uint64_t)gen_rarely(g, 8));
    gen_value(g, type);
    if (gen_rarely(g, 3)) {
        gen_const(g, type, gen_rarely(g, 2) ? bits_of(type) - 1 : 2 * bits_of(type) - 1);
        op(g, type, BC_I32_AND);
    }
    op(g, type, hole ? BC_I32_ROTL : BC_I32_SHL);
    if (turned) gen_value(g, type);
    op(g, type, hole ? BC_I32_AND : gen_rarely(g, 2) ? BC_I32_OR : BC_I32_XOR);
}

static void by_constant(struct gen *g, char type) { /* multiplication, division, remainder */
    static const int32_t divisors[] = {1,    2,    3,     5,  7,  10, 16, 25, 60,        100,      641,
                                       1000, 4096, 65535, -1, -2, -3, -7, -8, INT32_MIN, INT32_MAX};
    static const uint16_t ops[] = {BC_I32_MUL, BC_I32_DIV_S, BC_I32_DIV_U, BC_I32_REM_S, BC_I32_REM_U};
    int64_t by = divisors[gen_below(g, sizeof divisors / sizeof *divisors)];
    if (gen_rarely(g, 5)) by = (int64_t)(gen_bits(g) | 1);
    if (gen_rarely(g, 8) && is_wide(type)) by = (int64_t)(UINT64_C(1) << gen_below(g, 64));
    gen_value(g, type);
    if (by == -1) by = -5; /* a trap for the least number, which division by -1 elsewhere has */
    gen_const(g, type, (uint64_t)by);
    op(g, type, ops[gen_below(g, 5)]);
}

static void narrow_and_back(struct gen *g, char type) { /* (x << n) >> n, masks, extensions */
    uint32_t n = gen_rarely(g, 2) ? bits_of(type) - 8 * (1 + gen_below(g, bits_of(type) / 8 - 1))
                                  : gen_below(g, bits_of(type));
    gen_value(g, type);
    switch (gen_below(g, 4)) {
    case 0:
        gen_const(g, type, n);
        op(g, type, BC_I32_SHL);
        gen_const(g, type, n);
        op(g, type, gen_rarely(g, 2) ? BC_I32_SHR_S : BC_I32_SHR_U);
        break;
    case 1:
        gen_const(g, type, n);
        op(g, type, gen_rarely(g, 2) ? BC_I32_SHR_S : BC_I32_SHR_U);
        gen_const(g, type, (UINT64_C(1) << gen_below(g, 33)) - 1);
        op(g, type, BC_I32_AND);
        break;
    case 2:
        gen_op(g, is_wide(type) ? BC_I64_EXTEND8_S + gen_below(g, 3) : BC_I32_EXTEND8_S + gen_below(g, 2));
        gen_const(g, type, gen_rarely(g, 2) ? 0xFF : 0xFFFF);
        op(g, type, BC_I32_AND);
        break;
    default:
        if (is_wide(type)) {
            gen_op(g, BC_I32_WRAP_I64);
            gen_op(g, gen_rarely(g, 2) ? BC_I64_EXTEND_I32_U : BC_I64_EXTEND_I32_S);
        } else {
            gen_op(g, gen_rarely(g, 2) ? BC_I64_EXTEND_I32_U : BC_I64_EXTEND_I32_S);
            gen_const(g, 'I', gen_below(g, 64));
            gen_op(g, gen_rarely(g, 2) ? BC_I64_SHR_U : BC_I64_SHL);
            gen_op(g, BC_I32_WRAP_I64);
        }
    }
}

static void scaled(struct gen *g, char type) { /* a + (b << n) + c */
    gen_value(g, type);
    gen_value(g, type);
    gen_const(g, type, gen_below(g, 5));
    op(g, type, BC_I32_SHL);
    op(g, type, gen_rarely(g, 4) ? BC_I32_SUB : BC_I32_ADD);
    gen_const(g, type, gen_rarely(g, 3) ? gen_bits(g) : gen_below(g, 5000) - UINT64_C(2500));
    op(g, type, gen_rarely(g, 4) ? BC_I32_SUB : BC_I32_ADD);
}

static enum bc_op some_compare(struct gen *g, char type) { return sized(type, BC_I32_EQ + gen_below(g, 10)); }

static void compare(struct gen *g) { /* pushes an i32 */
    static const char types[] = "iIfF";
    char type = types[gen_below(g, 4)];
    gen_value(g, type);
    if (gen_rarely(g, 2))
        gen_any_const(g, type);
    else
        gen_value(g, type);
    gen_op(g, type == 'f'   ? BC_F32_EQ + gen_below(g, 6)
              : type == 'F' ? BC_F64_EQ + gen_below(g, 6)
                            : some_compare(g, type));
}

static void conditions(struct gen *g) {
    uint32_t n = 1 + gen_below(g, 3);
    compare(g);
    while (n-- > 0) {
        switch (gen_below(g, 4)) {
        case 0: gen_op(g, BC_I32_EQZ); break;
        case 1:
            compare(g);
            gen_op(g, BC_I32_AND);
            break;
        case 2:
            compare(g);
            gen_op(g, BC_I32_OR);
            break;
        default: gen_const(g, 'i', gen_below(g, 2)); gen_op(g, gen_rarely(g, 2) ? BC_I32_XOR : BC_I32_NE);
        }
    }
}

static void bit_test(struct gen *g) { /* pushes an i32 */
    char type = gen_rarely(g, 2) ? 'i' : 'I';
    gen_value(g, type);
    if (gen_rarely(g, 2)) {
        gen_value(g, type);
        op(g, type, gen_rarely(g, 3) ? BC_I32_SHR_S : BC_I32_SHR_U);
        gen_const(g, type, 1);
        op(g, type, BC_I32_AND);
    } else {
        gen_const(g, type, 1);
        if (gen_rarely(g, 2))
            gen_const(g, type, gen_below(g, bits_of(type)));
        else
            gen_value(g, type);
        op(g, type, BC_I32_SHL);
        op(g, type, BC_I32_AND);
    }
    if (gen_rarely(g, 2)) {
        op(g, type, BC_I32_EQZ);
    } else {
        gen_const(g, type, 0);
        op(g, type, BC_I32_NE);
    }
}

static void greater(struct gen *g, char type) { /* min, max, absolute value by select */
    uint32_t x = kept(g, type), y = gen_local(g, type);
    get(g, x);
    if (gen_rarely(g, 2)) {
        get(g, y);
    } else {
        gen_const(g, type, 0);
        get(g, x);
        op(g, type, BC_I32_SUB);
    }
    get(g, x);
    if (gen_rarely(g, 2))
        get(g, y);
    else
        gen_const(g, type, gen_below(g, 2));
    gen_op(g, some_compare(g, type));
    gen_op(g, BC_SELECT);
}

static void halves(struct gen *g) { /* pushes an i64 */
    gen_value(g, 'i');
    gen_op(g, BC_I64_EXTEND_I32_U);
    if (gen_rarely(g, 2)) {
        gen_const(g, 'I', 32);
        gen_op(g, BC_I64_SHL);
        gen_value(g, 'i');
        gen_op(g, gen_rarely(g, 3) ? BC_I64_EXTEND_I32_S : BC_I64_EXTEND_I32_U);
        gen_op(g, gen_rarely(g, 2) ? BC_I64_OR : BC_I64_ADD);
    } else {
        gen_value(g, 'i');
        gen_op(g, gen_rarely(g, 3) ? BC_I64_EXTEND_I32_S : BC_I64_EXTEND_I32_U);
        gen_op(g, BC_I64_MUL);
        gen_const(g, 'I', 32);
        gen_op(g, gen_rarely(g, 2) ? BC_I64_SHR_U : BC_I64_SHR_S);
    }
}

static void chain(struct gen *g, char type) { /* many operands alive at once */
    static const uint16_t ops[] = {BC_I32_ADD, BC_I32_SUB, BC_I32_XOR, BC_I32_MUL,
                                   BC_I32_AND, BC_I32_OR,  BC_I32_ROTL};
    uint32_t n = 3 + gen_below(g, 20);
    for (uint32_t i = 0; i < n; i++) get(g, gen_local(g, type));
    for (uint32_t i = 1; i < n; i++) op(g, type, ops[gen_below(g, 7)]);
}

/* ---- floats and vectors ---- */

static void float_chain(struct gen *g, char type) {
    uint32_t n = 2 + gen_below(g, 14);
    for (uint32_t i = 0; i < n; i++) get(g, gen_local(g, type));
    enum bc_op add = type == 'f' ? BC_F32_ADD : BC_F64_ADD; /* add sub mul div min max copysign */
    for (uint32_t i = 1; i < n; i++) gen_op(g, add + gen_below(g, 6));
}

static void lanes(struct gen *g) { /* pushes a v128 */
    static const uint16_t shifts[] = {BC_I8X16_SHL, BC_I16X8_SHL, BC_I32X4_SHL, BC_I64X2_SHL};
    gen_value(g, 'v');
    if (gen_rarely(g, 2)) { /* shifts by constants, also by too many */
        gen_const(g, 'i', gen_below(g, 70));
        gen_op(g, shifts[gen_below(g, 4)] + gen_below(g, 3));
        return;
    }
    uint32_t x = gen_local(g, 'v');
    gen_op_index(g, BC_LOCAL_TEE, x);
    if (gen_rarely(g, 2))
        get(g, x);
    else
        gen_any_const(g, 'v');
    gen_op(g, BC_I8X16_SHUFFLE);
    uint32_t size = 1u << gen_below(g, 4), first = gen_below(g, 32);
    for (uint32_t i = 0; i < 16; i++)
        bc_buf_u8(g->code, (uint8_t)((gen_rarely(g, 20) ? i
                                                        : first / size * size + i % size +
                                                              (i / size) * size * (first & 3)) &
                                     31));
}

/* ---- memory ---- */

static void masked_index(struct gen *g, char type, uint32_t mask) {
    gen_value(g, type);
    gen_const(g, type, mask);
    op(g, type, BC_I32_AND);
}

struct element { /* how an array's elements are read and written */
    enum bc_op load, store;
    char type;
    uint8_t log2;
};
static const struct element elements[] = {
    {BC_I32_LOAD, BC_I32_STORE, 'i', 2},       {BC_I64_LOAD, BC_I64_STORE, 'I', 3},
    {BC_I32_LOAD8_U, BC_I32_STORE8, 'i', 0},   {BC_I32_LOAD8_S, BC_I32_STORE8, 'i', 0},
    {BC_I32_LOAD16_U, BC_I32_STORE16, 'i', 1}, {BC_I32_LOAD16_S, BC_I32_STORE16, 'i', 1},
    {BC_I64_LOAD8_U, BC_I64_STORE8, 'I', 0},   {BC_I64_LOAD32_S, BC_I64_STORE32, 'I', 2},
    {BC_I64_LOAD32_U, BC_I64_STORE32, 'I', 2}, {BC_I64_LOAD16_S, BC_I64_STORE16, 'I', 1},
    {BC_F32_LOAD, BC_F32_STORE, 'f', 2},       {BC_F64_LOAD, BC_F64_STORE, 'F', 3},
    {BC_V128_LOAD, BC_V128_STORE, 'v', 4}};

static const struct element *some_element(struct gen *g) {
    return elements + gen_below(g, sizeof elements / sizeof *elements);
}

static void access(struct gen *g, enum bc_op op, uint32_t memory, uint32_t offset) {
    gen_op(g, op);
    gen_memarg(g, 0, memory, offset);
}

/* Combines what is on the stack with another value. */
static void combine(struct gen *g, char type) {
    static const uint16_t ops[] = {BC_I32_ADD, BC_I32_SUB, BC_I32_AND,  BC_I32_OR,
                                   BC_I32_XOR, BC_I32_SHL, BC_I32_ROTL, BC_I32_MUL};
    static const uint16_t vector[] = {BC_I8X16_ADD, BC_I32X4_SUB,   BC_I16X8_MUL,
                                      BC_V128_XOR,  BC_I8X16_MIN_U, BC_I64X2_ADD};
    if (gen_rarely(g, 3))
        gen_any_const(g, type);
    else
        gen_value(g, type);
    switch (type) {
    case 'f': gen_op(g, BC_F32_ADD + gen_below(g, 6)); break;
    case 'F': gen_op(g, BC_F64_ADD + gen_below(g, 6)); break;
    case 'v': gen_op(g, vector[gen_below(g, 6)]); break;
    default: op(g, type, ops[gen_below(g, 8)]);
    }
}

static void settle(struct gen *g, char type) {
    if (type == 'f' || type == 'F') gen_settle_nan(g, type);
}

/* Pushes the address again: from a local, or computed once more. */
static void change_in_memory(struct gen *g) {
    uint32_t memory = gen_below(g, g->n_memories), offset = gen_below(g, 64);
    char index = g->memories[memory].is64 ? 'I' : 'i';
    const struct element *e = some_element(g), *other = gen_rarely(g, 5) ? some_element(g) : e;
    if (other->type != e->type) other = e;
    uint32_t at = gen_local(g, index);
    masked_index(g, index, 0xFFF);
    gen_op_index(g, BC_LOCAL_TEE, at);
    get(g, at);
    access(g, e->load, memory, offset);
    combine(g, e->type); /* which may change `at`: then another place is written */
    settle(g, e->type);
    access(g, other->store, memory, offset + (gen_rarely(g, 6) ? gen_below(g, 4) : 0));
}

static void store_and_load(struct gen *g) {
    uint32_t memory = gen_below(g, g->n_memories);
    char index = g->memories[memory].is64 ? 'I' : 'i';
    const struct element *to = some_element(g), *from = some_element(g);
    uint32_t at = gen_local(g, index), result = gen_local(g, from->type), offset = gen_below(g, 32);
    masked_index(g, index, 0x3FF);
    gen_op_index(g, BC_LOCAL_TEE, at);
    gen_value(g, to->type);
    settle(g, to->type);
    access(g, to->store, memory, offset);
    get(g, at);
    access(g, from->load, memory, gen_rarely(g, 2) ? offset : gen_below(g, 32));
    settle(g, from->type);
    gen_op_index(g, BC_LOCAL_SET, result);
}

/* The element at i of an array: base + (i << log2), or i alone where it is a pointer. */
static void element_address(struct gen *g, char index, uint32_t counter, uint32_t base, uint32_t log2) {
    if (base != BC_NONE) get(g, base);
    get(g, counter);
    if (log2) {
        gen_const(g, index, log2);
        op(g, index, BC_I32_SHL);
    }
    if (base != BC_NONE) op(g, index, BC_I32_ADD);
}

/* for (i = first; i < end; i += step) a[i] = f(a[i]), or s = f(s, a[i]), or both */
static bool array_loop(struct gen *g) {
    if (g->loops >= 2 || g->n_locals > GEN_MAX_LOCALS - 24 || !g->n_memories) return false;
    static const uint8_t compares[] = {BC_I32_LT_S - BC_I32_EQZ, BC_I32_LT_U - BC_I32_EQZ,
                                       BC_I32_NE - BC_I32_EQZ};
    uint32_t memory = gen_below(g, g->n_memories), rounds = 1 + gen_below(g, 12),
             step = 1u << gen_below(g, 3);
    char index = g->memories[memory].is64 ? 'I' : 'i';
    const struct element *e = some_element(g);
    uint32_t counter = gen_new_local(g, index == 'I' ? 'y' : 'x'), base = BC_NONE,
             sum = gen_local(g, e->type);
    bool down = gen_rarely(g, 4), rotated = gen_rarely(g, 2);
    if (!gen_rarely(g, 3)) {
        base = gen_new_local(g, index == 'I' ? 'y' : 'x');
        masked_index(g, index, 0xFF8);
        gen_op_index(g, BC_LOCAL_SET, base);
    }
    gen_const(g, index, down ? rounds * step : 0);
    gen_op_index(g, BC_LOCAL_SET, counter);
    g->loops++;
    gen_open(g, BC_BLOCK, "", true);
    gen_open(g, BC_LOOP, "", false);
    enum bc_op compare = (index == 'I' ? BC_I64_EQZ : BC_I32_EQZ) + compares[gen_below(g, 3)];
    if (!rotated) { /* the test is in front */
        get(g, counter);
        gen_const(g, index, down ? 0 : rounds * step);
        if (down) {
            op(g, index, BC_I32_EQ);
        } else {
            gen_op(g, compare);
            gen_op(g, BC_I32_EQZ);
        }
        gen_op_index(g, BC_BR_IF, 1);
    }
    if (gen_rarely(g, 2)) {
        element_address(g, index, counter, base, e->log2);
        access(g, e->load, memory, 16);
        get(g, sum);
        combine(g, e->type);
        gen_op_index(g, BC_LOCAL_SET, sum);
        gen_op_index(g, BC_LOCAL_SET, sum); /* the loaded value wins: another use of both */
    }
    if (gen_rarely(g, 2)) gen_statement(g);
    element_address(g, index, counter, base, e->log2);
    if (gen_rarely(g, 2)) {
        element_address(g, index, counter, base, e->log2);
        access(g, e->load, memory, 16 + (gen_rarely(g, 3) ? 1u << e->log2 : 0));
    } else {
        get(g, sum);
    }
    combine(g, e->type);
    settle(g, e->type);
    access(g, e->store, memory, 16);
    get(g, counter);
    gen_const(g, index, step);
    op(g, index, down ? BC_I32_SUB : BC_I32_ADD);
    gen_op_index(g, BC_LOCAL_TEE, counter);
    gen_const(g, index, down ? 0 : rounds * step);
    if (down)
        op(g, index, BC_I32_NE);
    else
        gen_op(g, compare);
    gen_op_index(g, BC_BR_IF, 0);
    gen_close(g);
    gen_close(g);
    g->loops--;
    return true;
}

/* An index that wraps at 32 bits before it becomes an address. */
static void wrapping_index(struct gen *g) {
    const struct element *e = elements + gen_below(g, 10);
    uint32_t at = gen_local(g, 'i'), distance = gen_below(g, 4000);
    masked_index(g, 'i', 0x7FF);
    gen_const(g, 'i', (uint64_t) - (int64_t)distance);
    gen_op(g, BC_I32_ADD);
    gen_op_index(g, BC_LOCAL_SET, at);
    get(g, at);
    gen_const(g, 'i', distance + gen_below(g, 8));
    gen_op(g, BC_I32_ADD);
    access(g, e->load, 0, gen_below(g, 16));
    gen_op_index(g, BC_LOCAL_SET, gen_local(g, e->type));
}

/* An element of a table that a few bits of a value select: (x >> k or x << k) & mask, also as a sum. */
static void table_element(struct gen *g) {
    const struct element *e = some_element(g);
    uint32_t log2 = gen_below(g, 5);
    gen_value(g, 'i');
    gen_const(g, 'i', gen_rarely(g, 2) ? log2 : 20 + gen_below(g, 4));
    gen_op(g, gen_rarely(g, 2) ? BC_I32_SHL : BC_I32_SHR_U);
    gen_const(g, 'i', (0xFFF >> gen_below(g, 4) & ~((1u << log2) - 1)));
    gen_op(g, BC_I32_AND);
    if (gen_rarely(g, 3)) {
        gen_const(g, 'i', gen_below(g, 6) + (gen_rarely(g, 6) ? UINT64_C(0xFFFFF000) : 0));
        gen_op(g, BC_I32_ADD);
    }
    if (gen_rarely(g, 3)) {
        uint32_t at = gen_local(g, 'i');
        gen_op_index(g, BC_LOCAL_TEE, at);
        access(g, e->load, 0, gen_below(g, 16));
        settle(g, e->type);
        gen_op_index(g, BC_LOCAL_SET, gen_local(g, e->type));
        get(g, at);
    }
    gen_value(g, e->type);
    settle(g, e->type);
    access(g, e->store, 0, gen_below(g, 16));
}

/* ---- the choice ---- */

bool gen_shape(struct gen *g, char type) {
    if (type == 'f' || type == 'F') return float_chain(g, type), true;
    if (type == 'v') return lanes(g), true;
    switch (gen_below(g, 14)) {
    case 12: move_bytes(g, type); break;
    case 13: change_bit(g, type); break;
    case 0: rotate(g, type); break;
    case 1: rotate_by_variable(g, type); break;
    case 2: swap_bytes(g, type); break;
    case 3:
    case 4: by_constant(g, type); break;
    case 5:
    case 6: narrow_and_back(g, type); break;
    case 7: scaled(g, type); break;
    case 8: greater(g, type); break;
    case 9: chain(g, type); break;
    default:
        if (is_wide(type))
            halves(g);
        else if (gen_rarely(g, 2))
            conditions(g);
        else
            bit_test(g);
    }
    return true;
}

bool gen_shape_statement(struct gen *g) {
    if (!g->n_memories) return false;
    switch (gen_below(g, 7)) {
    case 6:
        if (g->memories[0].is64) return false;
        table_element(g);
        return true;
    case 0:
    case 1: return array_loop(g);
    case 2:
    case 3: change_in_memory(g); return true;
    case 4: store_and_load(g); return true;
    default:
        if (g->memories[0].is64) return false;
        wrapping_index(g);
        return true;
    }
}
