/* tests/jit/code_test.c: what the compiler makes cheaper is still the same: constant divisions, comparisons that are not
 * made twice, flags of arithmetic, values that change places, masks that are no news. */
#include "tests/jit/pair.h"

struct text {
    char bytes[1 << 16];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, args);
    va_end(args);
    assert_true(n >= 0 && t->n + (size_t)n < sizeof t->bytes);
    t->n += (size_t)n;
}

static const uint64_t edges[] = {0,
                                 1,
                                 2,
                                 3,
                                 6,
                                 7,
                                 9,
                                 10,
                                 99,
                                 100,
                                 0x7F,
                                 0x80,
                                 0xFF,
                                 0x100,
                                 0x7FFF,
                                 0x8000,
                                 0xFFFF,
                                 0x10000,
                                 399999,
                                 400000,
                                 0x7FFFFFFE,
                                 0x7FFFFFFF,
                                 0x80000000,
                                 0x80000001,
                                 0xFFFFFFF9,
                                 0xFFFFFFFD,
                                 0xFFFFFFFE,
                                 0xFFFFFFFF,
                                 0x100000000,
                                 0x123456789ABCDEF,
                                 0x7FFFFFFFFFFFFFFE,
                                 0x7FFFFFFFFFFFFFFF,
                                 0x8000000000000000,
                                 0x8000000000000001,
                                 0xFFFFFFFFFFFFFF80,
                                 0xFFFFFFFFFFFFFFF6,
                                 0xFFFFFFFFFFFFFFFE,
                                 0xFFFFFFFFFFFFFFFF};
#define N_EDGES (sizeof edges / sizeof *edges)

static void division_by_a_constant_is_division(void **state) {
    static const char *const ops[] = {"div_s", "div_u", "rem_s", "rem_u"};
    static struct text t;
    struct pair p;
    char name[32];
    (void)state;
    for (size_t d = 1; d < N_EDGES; d++) {
        t.n = 0;
        add(&t, "(module ");
        for (int op = 0; op < 4; op++) {
            add(&t,
                "(func (export \"i64.%s\") (param i64) (result i64) (i64.%s (local.get 0) (i64.const %" PRId64
                ")))",
                ops[op], ops[op], (int64_t)edges[d]);
            if (!(uint32_t)edges[d]) continue;
            add(&t,
                "(func (export \"i32.%s\") (param i32) (result i32) (i32.%s (local.get 0) (i32.const %" PRId32
                ")))",
                ops[op], ops[op], (int32_t)edges[d]);
        }
        add(&t, ")");
        open_pair(&p, t.bytes, NULL);
        for (int op = 0; op < 4; op++)
            for (size_t x = 0; x < N_EDGES; x++)
                for (uint64_t near = 0; near < 3; near++) {
                    snprintf(name, sizeof name, "i64.%s", ops[op]);
                    same(&p, name, edges[x] * (near == 2 ? edges[d] : 1) + near - 1, 0);
                    snprintf(name, sizeof name, "i32.%s", ops[op]);
                    if ((uint32_t)edges[d])
                        same(&p, name, (uint32_t)(edges[x] * (near == 2 ? edges[d] : 1) + near - 1), 0);
                }
        close_pair(&p);
    }
}

/* The flags of a subtraction tell of zero, not of less: it may have overflowed. */
static void flags_of_arithmetic_decide_only_what_they_know(void **state) {
    static const char *const tests[] = {"eq",   "ne",   "lt_s", "lt_u", "gt_s",
                                        "gt_u", "le_s", "le_u", "ge_s", "ge_u"};
    static const char *const ops[] = {"add", "sub", "and", "or", "xor", "mul", "shl", "shr_s", "rotl"};
    static struct text t;
    struct pair p;
    char name[32];
    (void)state;
    t.n = 0;
    add(&t, "(module ");
    for (size_t op = 0; op < sizeof ops / sizeof *ops; op++)
        for (size_t k = 0; k < sizeof tests / sizeof *tests; k++) {
            add(&t,
                "(func (export \"%s_%s\") (param i32 i32) (result i32) (local i32)"
                "(local.set 2 (i32.%s (local.get 0) (local.get 1)))"
                "(if (result i32) (i32.%s (local.get 2) (i32.const 0)) (then (local.get 2)) (else (i32.const "
                "77))))",
                ops[op], tests[k], ops[op], tests[k]);
            add(&t,
                "(func (export \"%s_%s_3\") (param i32 i32) (result i32) (local i32)"
                "(local.set 2 (i32.%s (local.get 0) (i32.const 3)))"
                "(if (result i32) (i32.%s (local.get 2) (i32.const 0)) (then (local.get 2)) (else (local.get "
                "1))))",
                ops[op], tests[k], ops[op], tests[k]);
        }
    add(&t, ")");
    open_pair(&p, t.bytes, NULL);
    for (size_t op = 0; op < sizeof ops / sizeof *ops; op++)
        for (size_t k = 0; k < sizeof tests / sizeof *tests; k++)
            for (size_t x = 0; x < N_EDGES; x++)
                for (size_t y = x % 3; y < N_EDGES; y += 3) {
                    snprintf(name, sizeof name, "%s_%s", ops[op], tests[k]);
                    same(&p, name, (uint32_t)edges[x], (uint32_t)edges[y]);
                    snprintf(name, sizeof name, "%s_%s_3", ops[op], tests[k]);
                    same(&p, name, (uint32_t)edges[x], (uint32_t)edges[y]);
                }
    close_pair(&p);
}

/* The count, and what is shifted, may be of no use behind it: their registers are free for the result. */
static void shifts_by_what_dies_with_them(void **state) {
    static const char *const ops[] = {"shl", "shr_s", "shr_u", "rotl", "rotr"};
    static const char *const lefts[] = {"(T.const -2)", "(T.add (local.get 1) (T.const 7))", "(local.get 0)"};
    static struct text t;
    struct pair p;
    char name[32];
    (void)state;
    t.n = 0;
    add(&t, "(module ");
    for (int wide = 0; wide < 2; wide++)
        for (size_t op = 0; op < 5; op++)
            for (size_t k = 0; k < 3; k++) {
                const char *type = wide ? "i64" : "i32";
                add(&t, "(func (export \"%s.%s_%zu\") (param %s %s) (result %s) (%s.%s ", type, ops[op], k,
                    type, type, type, type, ops[op]);
                for (const char *c = lefts[k]; *c; c++)
                    add(&t, *c == 'T' ? "%s" : "%.1s", *c == 'T' ? type : c);
                add(&t, " (%s.sub (local.get 0) (%s.const 3))))", type, type);
            }
    add(&t, ")");
    open_pair(&p, t.bytes, NULL);
    for (size_t op = 0; op < 5; op++)
        for (size_t k = 0; k < 3; k++)
            for (size_t x = 0; x < N_EDGES; x++) {
                snprintf(name, sizeof name, "i32.%s_%zu", ops[op], k);
                same(&p, name, (uint32_t)edges[x], (uint32_t)edges[N_EDGES - 1 - x]);
                snprintf(name, sizeof name, "i64.%s_%zu", ops[op], k);
                same(&p, name, edges[x], edges[N_EDGES - 1 - x]);
            }
    close_pair(&p);
}

static void one_comparison_decides_several_times(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (func (export \"ints\") (param i32 i32) (result i32) (local $c i32) (local $x i32) (local "
        "$y i32)"
        " (local.set $c (i32.lt_s (local.get 0) (local.get 1)))"
        " (local.set $x (select (local.get 0) (local.get 1) (local.get $c)))"
        " (local.set $y (select (i32.const 5) (local.get $x) (local.get $c)))"
        " (local.set 0 (select (local.get $y) (local.get 0) (local.get $c)))" /* over what is compared */
        " (local.set 1 (select (local.get 1) (local.get 0) (local.get $c)))"
        " (if (local.get $c) (then (local.set $x (i32.mul (local.get $x) (i32.const 3)))))"
        " (i32.add (i32.add (local.get $x) (i32.shl (local.get $y) (i32.const 9))) (i32.add (local.get 0) "
        "(local.get 1))))"
        "(func (export \"floats\") (param i64 i64) (result f64) (local $c i32) (local $x f64) (local $y f64)"
        " (local.set $x (f64.reinterpret_i64 (local.get 0))) (local.set $y (f64.reinterpret_i64 (local.get "
        "1)))"
        " (local.set $c (f64.eq (local.get $x) (local.get $y)))"
        " (local.set $x (select (local.get $y) (f64.const 2) (local.get $c)))"
        " (if (local.get $c) (then (local.set $y (f64.const 4))))"
        " (select (local.get $x) (local.get $y) (local.get $c))))",
        NULL);
    for (size_t x = 0; x < N_EDGES; x++)
        for (size_t y = 0; y < N_EDGES; y++) {
            same(&p, "ints", (uint32_t)edges[x], (uint32_t)edges[y]);
            same(&p, "floats", edges[x], edges[y]);
        }
    same(&p, "floats", UINT64_C(0x7FF8000000000000), UINT64_C(0x7FF8000000000000));
    close_pair(&p);
}

/* Vectors, floats and integers go round at a loop's end, more than there are registers. */
static void values_of_all_kinds_change_places(void **state) {
    static const char *const types[] = {"i32", "i64", "f32", "f64", "v128"};
    enum { EACH = 9 };
    static struct text t;
    struct pair p;
    (void)state;
    t.n = 0;
    add(&t, "(module (func (export \"turn\") (param i64 i64) (result i64)");
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < EACH; i++) add(&t, "(local %s)", types[k]);
    for (int i = 0; i < EACH; i++) {
        add(&t, "(local.set %d (i32.add (i32.wrap_i64 (local.get 0)) (i32.const %d)))", 2 + i, i);
        add(&t, "(local.set %d (i64.add (local.get 0) (i64.const %d)))", 2 + EACH + i, i);
        add(&t, "(local.set %d (f32.convert_i32_s (local.get %d)))", 2 + 2 * EACH + i, 2 + i);
        add(&t, "(local.set %d (f64.convert_i64_s (local.get %d)))", 2 + 3 * EACH + i, 2 + EACH + i);
        add(&t, "(local.set %d (i64x2.splat (local.get %d)))", 2 + 4 * EACH + i, 2 + EACH + i);
    }
    add(&t, "(loop ");
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < EACH; i++)
            add(&t, "(local.get %d)", 2 + k * EACH + (i + (k == 4 ? 4 : 1)) % EACH);
        for (int i = EACH; i-- > 0;) add(&t, "(local.set %d)", 2 + k * EACH + i);
    }
    add(&t, "(local.set 3 (i32.add (local.get 3) (local.get 5)))");
    add(&t, "(local.set %d (i8x16.add (local.get %d) (local.get %d)))", 3 + 4 * EACH, 3 + 4 * EACH,
        6 + 4 * EACH);
    add(&t, "(br_if 0 (i64.ne (i64.const 0) (local.tee 1 (i64.sub (local.get 1) (i64.const 1))))))");
    add(&t, "(i64.const 0)");
    for (int i = 0; i < EACH; i++) {
        add(&t, "(i64.const 31) i64.mul (i64.extend_i32_u (local.get %d)) i64.add (local.get %d) i64.xor",
            2 + i, 2 + EACH + i);
        add(&t, "(i64.const 31) i64.mul (i64.extend_i32_u (i32.reinterpret_f32 (local.get %d))) i64.add",
            2 + 2 * EACH + i);
        add(&t, "(i64.reinterpret_f64 (local.get %d)) i64.xor", 2 + 3 * EACH + i);
        add(&t, "(i64.const 31) i64.mul (i64x2.extract_lane 1 (local.get %d)) i64.add", 2 + 4 * EACH + i);
    }
    add(&t, "))");
    open_pair(&p, t.bytes, NULL);
    assert_true(compiled(&p, "turn"));
    for (uint64_t i = 1; i < 30; i++) same(&p, "turn", UINT64_C(0x123456789ABCDEF) * i, i);
    close_pair(&p);
}

static void a_mask_goes_only_where_it_masks_nothing(void **state) {
    static const int masks[] = {0x7F, 0xFF, 0xFE, 0x1FF, 0xFFFF, 0x7FFF, 1};
    static const char *const loads[] = {"i32.load8_u", "i32.load8_s", "i32.load16_u", "i32.load16_s",
                                        "i32.load"};
    static struct text t;
    struct pair p;
    char name[32];
    (void)state;
    t.n = 0;
    add(&t, "(module (memory 1) (data (i32.const 0) \"\\80\\ff\\7f\\01\\fe\\00\\ff\\ff\\81\")");
    for (int l = 0; l < 5; l++)
        for (int m = 0; m < 7; m++)
            add(&t,
                "(func (export \"f%d%d\") (param i32 i32) (result i32) (local i32)"
                "(local.set 2 (%s (local.get 0)))"
                "(if (local.get 1) (then (local.set 2 (%s (i32.add (local.get 0) (local.get 1))))))"
                "(loop (local.set 2 (i32.and (local.get 2) (i32.const %d)))"
                " (local.set 2 (i32.add (local.get 2) (i32.const 200)))"
                " (br_if 0 (i32.gt_s (local.tee 1 (i32.sub (local.get 1) (i32.const 1))) (i32.const 0))))"
                "(i32.xor (i32.and (i32.shr_u (local.get 2) (i32.const 3)) (i32.const %d))"
                " (i32.add (i32.shr_s (i32.shl (local.get 2) (i32.const 24)) (i32.const 24))"
                " (i32.shr_s (i32.shl (local.get 2) (i32.const 16)) (i32.const 17)))))",
                l, m, loads[l], loads[l], masks[m], masks[m]);
    add(&t, ")");
    open_pair(&p, t.bytes, NULL);
    for (int l = 0; l < 5; l++)
        for (int m = 0; m < 7; m++)
            for (uint64_t x = 0; x < 8; x++)
                for (uint64_t y = 0; y < 4; y++) {
                    snprintf(name, sizeof name, "f%d%d", l, m);
                    same(&p, name, x, y);
                }
    close_pair(&p);
}

/* NaNs may differ: lanes that are one become zero where `quiet` names the comparison. */
static void add_vector_function(struct text *t, const char *op, unsigned n_operands, const char *quiet) {
    static const char *const y =
        "(i8x16.shuffle 9 10 11 12 13 14 15 8 3 2 1 0 4 5 6 7 (local.get $v) (local.get $v))";
    add(t, "(func (export \"%s\") (param i64 i64) (result i64) (local $v v128) (local $r v128)", op);
    add(t, "(local.set $v (i64x2.replace_lane 1 (i64x2.splat (local.get 0)) (local.get 1)))");
    add(t, "(local.set $r (%s (local.get $v)", op);
    if (n_operands == 2) add(t, "%s", y);
    if (n_operands == 3) add(t, "%s (i64x2.splat (local.get 1))", y);
    if (n_operands == 4) add(t, "(i32.wrap_i64 (local.get 1))");
    add(t, "))");
    if (quiet) add(t, "(local.set $r (v128.and (local.get $r) (%s (local.get $r) (local.get $r))))", quiet);
    add(t, "(i64.add (i64.mul (i64x2.extract_lane 0 (local.get $r)) (i64.const 3)) (i64x2.extract_lane 1 "
           "(local.get $r))))");
}

static void vectors_made_of_parts_are_whole(void **state) {
    static const struct {
        const char *op;
        unsigned n_operands; /* 4: a vector and a count */
        const char *quiet;
    } rows[] = {{"i8x16.popcnt", 1, NULL},
                {"i16x8.extadd_pairwise_i8x16_s", 1, NULL},
                {"i16x8.extadd_pairwise_i8x16_u", 1, NULL},
                {"i32x4.extadd_pairwise_i16x8_s", 1, NULL},
                {"i32x4.extadd_pairwise_i16x8_u", 1, NULL},
                {"i64x2.abs", 1, NULL},
                {"i32x4.trunc_sat_f32x4_s", 1, NULL},
                {"i32x4.trunc_sat_f32x4_u", 1, NULL},
                {"i32x4.trunc_sat_f64x2_s_zero", 1, NULL},
                {"i32x4.trunc_sat_f64x2_u_zero", 1, NULL},
                {"f32x4.convert_i32x4_u", 1, NULL},
                {"f64x2.convert_low_i32x4_u", 1, NULL},
                {"i8x16.shl", 4, NULL},
                {"i8x16.shr_s", 4, NULL},
                {"i8x16.shr_u", 4, NULL},
                {"i64x2.shr_s", 4, NULL},
                {"i64x2.mul", 2, NULL},
                {"i16x8.q15mulr_sat_s", 2, NULL},
                {"f32x4.min", 2, "f32x4.eq"},
                {"f32x4.max", 2, "f32x4.eq"},
                {"f64x2.min", 2, "f64x2.eq"},
                {"f64x2.max", 2, "f64x2.eq"},
                {"i16x8.extmul_low_i8x16_s", 2, NULL},
                {"i16x8.extmul_high_i8x16_u", 2, NULL},
                {"i32x4.extmul_high_i16x8_s", 2, NULL},
                {"i32x4.extmul_low_i16x8_u", 2, NULL},
                {"i64x2.extmul_low_i32x4_s", 2, NULL},
                {"i64x2.extmul_high_i32x4_s", 2, NULL},
                {"i64x2.extmul_low_i32x4_u", 2, NULL},
                {"i64x2.extmul_high_i32x4_u", 2, NULL},
                {"i8x16.relaxed_swizzle", 2, NULL},
                {"i32x4.relaxed_trunc_f32x4_s", 1, NULL},
                {"i32x4.relaxed_trunc_f32x4_u", 1, NULL},
                {"i32x4.relaxed_trunc_f64x2_s_zero", 1, NULL},
                {"i32x4.relaxed_trunc_f64x2_u_zero", 1, NULL},
                {"f32x4.relaxed_madd", 3, "f32x4.eq"},
                {"f32x4.relaxed_nmadd", 3, "f32x4.eq"},
                {"f64x2.relaxed_madd", 3, "f64x2.eq"},
                {"f64x2.relaxed_nmadd", 3, "f64x2.eq"},
                {"i8x16.relaxed_laneselect", 3, NULL},
                {"i16x8.relaxed_laneselect", 3, NULL},
                {"i32x4.relaxed_laneselect", 3, NULL},
                {"i64x2.relaxed_laneselect", 3, NULL},
                {"f32x4.relaxed_min", 2, "f32x4.eq"},
                {"f32x4.relaxed_max", 2, "f32x4.eq"},
                {"f64x2.relaxed_min", 2, "f64x2.eq"},
                {"f64x2.relaxed_max", 2, "f64x2.eq"},
                {"i16x8.relaxed_q15mulr_s", 2, NULL},
                {"i16x8.relaxed_dot_i8x16_i7x16_s", 2, NULL},
                {"i32x4.relaxed_dot_i8x16_i7x16_add_s", 3, NULL}};
    static const uint64_t more[] = {0x8000800080008000, 0x80808080FF7F0180, 0x4EFFFFFF4F000000,
                                    0x4F7FFFFFCF000000, 0x41DFFFFFFFC00000, 0x41E0000000000000,
                                    0x41EFFFFFFFE00000, 0xC1E0000000200000, 0x7FC00000BF800000,
                                    0x7FF8000000000000, 0x3FF0000080000000, 0x00000000BF000000};
    enum { N_MORE = sizeof more / sizeof *more };
    static struct text t;
    struct pair p;
    (void)state;
    t.n = 0;
    add(&t, "(module ");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add_vector_function(&t, rows[i].op, rows[i].n_operands, rows[i].quiet);
    add(&t, "(func (export \"bitmask\") (param i64 i64) (result i64) (i64.extend_i32_u (i16x8.bitmask"
            " (i64x2.replace_lane 1 (i64x2.splat (local.get 0)) (local.get 1)))))");
    for (int count = 0; count < 9; count++)
        add(&t,
            "(func (export \"shift%d\") (param i64 i64) (result i64) (i64x2.extract_lane 0 (i8x16.shr_s"
            " (i8x16.shl (i64x2.splat (local.get 0)) (i32.const %d)) (i32.const %d))))",
            count, count * 3, count);
    add(&t, ")");
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        open_pair_as(&p, t.bytes, NULL, deterministic);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (size_t x = 0; x < N_EDGES + N_MORE; x++)
                for (size_t y = x % 5; y < N_EDGES + N_MORE; y += 5)
                    same(&p, rows[i].op, x < N_MORE ? more[x] : edges[x - N_MORE],
                         y < N_MORE ? more[y] : edges[y - N_MORE]);
        for (size_t x = 0; x < N_MORE; x++) same(&p, "bitmask", more[x], more[N_MORE - 1 - x]);
        char name[16];
        for (int count = 0; count < 9; count++) {
            snprintf(name, sizeof name, "shift%d", count);
            for (size_t x = 0; x < N_MORE; x++) same(&p, name, more[x], 0);
        }
        close_pair(&p);
    }
}

/* A local that a loop without a way back writes turns out to be a constant when the sum is made already. */
static void sums_of_late_constants_are_whole(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (func (export \"f\") (param i32 i32) (result i32) (local $c i32) (local $r i32)"
              " (local.set $c (i32.const 32))"
              " (loop (local.set $r (i32.add (i32.add (local.get $c) (local.get 0)) (i32.const 7)))"
              "  (local.set $c (i32.const 5)))"
              " (i32.add (local.get $r) (local.get $c))))",
              NULL);
    for (size_t x = 0; x < N_EDGES; x++) same(&p, "f", (uint32_t)edges[x], 0);
    close_pair(&p);
}

/* What cannot be negative is converted as if it were signed; what can be, is not. */
static void unsigned_conversions_know_the_sign(void **state) {
    static const int shifts[] = {0, 1, 11, 40, 63};
    static struct text t;
    struct pair p;
    char name[32];
    (void)state;
    t.n = 0;
    add(&t, "(module ");
    for (int i = 0; i < 5; i++) {
        add(&t, "(func (export \"d%d\") (param i64) (result f64)", shifts[i]);
        add(&t, " (f64.convert_i64_u (i64.shr_u (local.get 0) (i64.const %d))))", shifts[i]);
        add(&t, "(func (export \"s%d\") (param i64) (result f32)", shifts[i]);
        add(&t, " (f32.convert_i64_u (i64.shr_u (local.get 0) (i64.const %d))))", shifts[i]);
        add(&t, "(func (export \"e%d\") (param i32) (result i64)", shifts[i]);
        add(&t, " (i64.extend_i32_s (i32.shr_u (local.get 0) (i32.const %d))))", shifts[i]);
        add(&t, "(func (export \"a%d\") (param i32) (result i64)", shifts[i]);
        add(&t, " (i64.extend_i32_s (i32.and (local.get 0) (i32.const %u))))", UINT32_MAX >> shifts[i] % 32);
    }
    add(&t, ")");
    open_pair(&p, t.bytes, NULL);
    for (int i = 0; i < 5; i++)
        for (size_t x = 0; x < N_EDGES; x++)
            for (const char *kind = "dsea"; *kind; kind++) {
                snprintf(name, sizeof name, "%c%d", *kind, shifts[i]);
                same(&p, name, *kind == 'd' || *kind == 's' ? edges[x] : (uint32_t)edges[x], 0);
            }
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_conversions_know_the_sign),
        cmocka_unit_test(sums_of_late_constants_are_whole),
        cmocka_unit_test(division_by_a_constant_is_division),
        cmocka_unit_test(flags_of_arithmetic_decide_only_what_they_know),
        cmocka_unit_test(shifts_by_what_dies_with_them),
        cmocka_unit_test(one_comparison_decides_several_times),
        cmocka_unit_test(values_of_all_kinds_change_places),
        cmocka_unit_test(a_mask_goes_only_where_it_masks_nothing),
        cmocka_unit_test(vectors_made_of_parts_are_whole),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
