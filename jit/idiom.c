/* jit/idiom.c: operations that programs spell with shifts and masks, because wasm has no word for them, or their
 * compiler did not use it: bytes in reverse order, and rotations.
 *
 * A tree of shifts by whole bytes, masks of whole bytes and unions is followed down to one value, byte by byte. */
#include "jit/ir.h"

#define NO_BYTE 0xFF
#define DEEPEST 10
#define MOST    40 /* values looked at for one union */

struct bytes { /* byte k of a value is byte from[k] of `source`, or zero: NO_BYTE; an i32 has four */
    uint32_t source;
    unsigned n;
    uint8_t from[8];
};

static bool constant(const struct ir_func *f, uint32_t v, uint64_t *bits) {
    if (v == IR_NONE || f->ins[v].op != IR_CONST) return false;
    *bits = f->ins[v].imm;
    return true;
}

/* The i32 operation of the same kind; others are left as they are. */
static uint16_t narrow(const struct ir_ins *i) {
    bool wide = i->op >= BC_I64_ADD && i->op <= BC_I64_ROTR;
    return wide ? (uint16_t)(i->op - BC_I64_ADD + BC_I32_ADD) : i->op;
}

/* Whether the byte of the value may be something else than zero. */
static bool has_byte(const struct ir_func *f, uint32_t v, unsigned k) {
    return ir_possible_bits(f, v, 1) >> 8 * k & 0xFF;
}

static void whole(const struct ir_func *f, uint32_t v, struct bytes *out) {
    *out = (struct bytes){.source = v, .n = f->ins[v].type == IR_I64 ? 8 : 4};
    for (unsigned k = 0; k < 8; k++) out->from[k] = (uint8_t)(k < out->n && has_byte(f, v, k) ? k : NO_BYTE);
}

static bool is_zero(const struct bytes *b) {
    for (unsigned k = 0; k < 8; k++)
        if (b->from[k] != NO_BYTE) return false;
    return true;
}

/* Towards the upper end by `by` bytes, which may be negative; what comes in is zero, or what went out. */
static void move(struct bytes *b, int by, bool around) {
    struct bytes old = *b;
    int n = (int)b->n;
    for (int k = 0; k < n && k < 8; k++) {
        int at = k - by;
        if (around) at = (at % n + n) % n;
        b->from[k] = at >= 0 && at < n ? old.from[at] : NO_BYTE;
    }
}

static bool mask(struct bytes *b, uint64_t bits) {
    for (unsigned k = 0; k < 8; k++) {
        uint8_t byte = (uint8_t)(bits >> 8 * k);
        if (byte && byte != 0xFF) return false;
        if (!byte) b->from[k] = NO_BYTE;
    }
    return true;
}

static bool unite(struct bytes *into, const struct bytes *b) {
    if (is_zero(b)) return true;
    if (is_zero(into)) into->source = b->source;
    if (into->source != b->source) return false;
    for (unsigned k = 0; k < 8; k++) {
        if (b->from[k] == NO_BYTE) continue;
        if (into->from[k] != NO_BYTE) return false;
        into->from[k] = b->from[k];
    }
    return true;
}

static void follow(const struct ir_func *f, uint32_t v, unsigned depth, unsigned *steps, struct bytes *out);

/* False: the operation is not one of bytes. */
static bool follow_operation(const struct ir_func *f, const struct ir_ins *i, unsigned depth, unsigned *steps,
                             struct bytes *out) {
    uint16_t op = narrow(i);
    uint64_t c = 0;
    struct bytes other = {0};
    bool shift = op == BC_I32_SHL || op == BC_I32_SHR_U || op == BC_I32_ROTL || op == BC_I32_ROTR;
    if (op != BC_I32_OR && op != IR_BSWAP && !constant(f, i->b, &c)) return false;
    c &= shift ? (i->type == IR_I64 ? 63 : 31) : UINT64_MAX;
    if (shift && c % 8) return false;
    if (!shift && op != BC_I32_AND && op != BC_I32_OR && op != IR_BSWAP) return false;
    follow(f, i->a, depth, steps, out);
    int by = (int)(c / 8);
    switch (op) {
    case BC_I32_SHL: move(out, by, false); return true;
    case BC_I32_SHR_U: move(out, -by, false); return true;
    case BC_I32_ROTL: move(out, by, true); return true;
    case BC_I32_ROTR: move(out, -by, true); return true;
    case BC_I32_AND: return mask(out, c);
    case BC_I32_OR: follow(f, i->b, depth, steps, &other); return unite(out, &other);
    default: break;
    }
    other = *out;
    for (unsigned k = 0; k < out->n && k < 8; k++) out->from[k] = other.from[out->n - 1 - k];
    return true;
}

static void follow(const struct ir_func *f, uint32_t v, unsigned depth, unsigned *steps, struct bytes *out) {
    const struct ir_ins *i = f->ins + v;
    if (++*steps > MOST || !depth || !follow_operation(f, i, depth - 1, steps, out)) whole(f, v, out);
}

static uint32_t reverse(struct ir_func *f, uint32_t block, unsigned type, uint32_t v) {
    uint32_t i = ir_new(f, block, IR_BSWAP, type);
    if (!f->failed) f->ins[i].a = v;
    return i;
}

/* Whether the lower n bytes are the source's in reverse order, those above zero. */
static bool is_reversed(const struct ir_func *f, const struct bytes *b, unsigned n) {
    for (unsigned k = 0; k < 8; k++) {
        unsigned wanted = k < n ? n - 1 - k : NO_BYTE;
        bool zero = wanted == NO_BYTE || !has_byte(f, b->source, wanted);
        if (b->from[k] != (zero ? NO_BYTE : wanted)) return false;
    }
    return true;
}

/* a << n | a >> (bits - n), n a constant. */
static uint32_t constant_rotation(struct ir_func *f, uint32_t block, unsigned type, const struct ir_ins *left,
                                  const struct ir_ins *right) {
    uint64_t up, down, bits = type == IR_I64 ? 64 : 32;
    if (narrow(left) != BC_I32_SHL || narrow(right) != BC_I32_SHR_U || left->a != right->a) return IR_NONE;
    if (!constant(f, left->b, &up) || !constant(f, right->b, &down)) return IR_NONE;
    up &= bits - 1;
    if (!up || (down & (bits - 1)) != bits - up) return IR_NONE;
    uint16_t op = type == IR_I64 ? BC_I64_ROTL : BC_I32_ROTL;
    return ir_binary(f, block, op, type, left->a, ir_const(f, type, up));
}

/* Whether the count is -n, or the width minus n: shifts take no more of it. */
static bool is_rest(const struct ir_func *f, uint32_t count, uint32_t n, uint64_t bits) {
    const struct ir_ins *i = f->ins + count;
    uint64_t c;
    return narrow(i) == BC_I32_SUB && i->b == n && constant(f, i->a, &c) && !(c & (bits - 1));
}

/* a << n | a >> -n, or the other way round. Where n is 0 both sides are a. */
static uint32_t rotation(struct ir_func *f, uint32_t block, unsigned type, const struct ir_ins *x,
                         const struct ir_ins *y) {
    uint16_t wide = type == IR_I64 ? BC_I64_ADD - BC_I32_ADD : 0;
    if (narrow(x) != BC_I32_SHL || narrow(y) != BC_I32_SHR_U || x->a != y->a) return IR_NONE;
    if (is_rest(f, y->b, x->b, type == IR_I64 ? 64 : 32))
        return ir_binary(f, block, (uint16_t)(BC_I32_ROTL + wide), type, x->a, x->b);
    if (is_rest(f, x->b, y->b, type == IR_I64 ? 64 : 32))
        return ir_binary(f, block, (uint16_t)(BC_I32_ROTR + wide), type, x->a, y->b);
    return IR_NONE;
}

static bool may_be_bytes(const struct ir_ins *i) {
    switch (narrow(i)) {
    case BC_I32_OR:
    case BC_I32_AND:
    case BC_I32_SHL:
    case BC_I32_SHR_U:
    case BC_I32_ROTL:
    case BC_I32_ROTR: return true;
    default: return false;
    }
}

uint32_t ir_union_idiom(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, uint32_t b) {
    const struct ir_ins x = f->ins[a], y = f->ins[b]; /* copies: the array may move */
    struct bytes out = {0}, other = {0};
    unsigned steps = 0;
    if (!may_be_bytes(&x) || !may_be_bytes(&y)) return IR_NONE;
    uint32_t v = constant_rotation(f, block, type, &x, &y);
    if (v == IR_NONE) v = constant_rotation(f, block, type, &y, &x);
    if (v == IR_NONE) v = rotation(f, block, type, &x, &y);
    if (v == IR_NONE) v = rotation(f, block, type, &y, &x);
    if (v != IR_NONE) return v;
    follow(f, a, DEEPEST, &steps, &out);
    follow(f, b, DEEPEST, &steps, &other);
    if (!unite(&out, &other)) return IR_NONE;
    return is_reversed(f, &out, out.n) ? reverse(f, block, type, out.source) : IR_NONE;
}

uint32_t ir_mask_idiom(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, uint64_t bits) {
    struct bytes out = {0}, other = {0};
    unsigned steps = 0;
    bool wide = type == IR_I64;
    if (bits != 0xFFFF || narrow(f->ins + a) != BC_I32_OR) return IR_NONE;
    follow(f, f->ins[a].a, DEEPEST, &steps, &out);
    follow(f, f->ins[a].b, DEEPEST, &steps, &other);
    if (!mask(&out, bits) || !mask(&other, bits) || !unite(&out, &other) || !is_reversed(f, &out, 2))
        return IR_NONE;
    return ir_binary(f, block, wide ? BC_I64_SHR_U : BC_I32_SHR_U, type, reverse(f, block, type, out.source),
                     ir_const(f, type, wide ? 48 : 16));
}
