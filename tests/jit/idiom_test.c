/* tests/jit/idiom_test.c: what programs spell with shifts and masks is one instruction, and means the same. */
#include "tests/jit/pair.h"

struct shown {
    size_t n;
    char text[1 << 18];
};

static bool wants(void *context, const struct rt_module *module, uint32_t func) {
    (void)context, (void)module, (void)func;
    return true;
}

static void show(void *context, const struct rt_module *module, uint32_t func, uint32_t loop,
                 const char *text, size_t n_bytes) {
    struct shown *s = context;
    (void)module, (void)func, (void)loop;
    assert_true(s->n + n_bytes < sizeof s->text);
    memcpy(s->text + s->n, text, n_bytes);
    s->n += n_bytes;
    s->text[s->n] = 0;
}

/* The machine code of the program's functions contains each of the words, and none of the ones behind '!'. */
static void expect_code(const char *program, const char *const *words) {
    static struct shown s;
    struct world w;
    struct rt_code_viewer viewer = {
        .stages = 1u << JIT_STAGE_CODE, .context = &s, .wants = wants, .show = show};
    s.n = 0;
    open_world(&w, &(struct rt_config){.tier = &jit_tier, .viewer = &viewer}, NULL);
    start(&w, program, NULL);
    for (; *words; words++) {
        bool absent = **words == '!';
        if (!strstr(s.text, *words + absent) == absent) continue;
        fail_msg("%s in %s", *words, s.text);
    }
    close_world(&w);
}

static const uint64_t samples[] = {0,          1,          0x80000000u, 0x12345678,
                                   0xFFFFFFFF, 0xA5A5A5A5, 31,          32,
                                   33,         0xFF,       0x8000,      UINT64_C(0x0123456789ABCDEF),
                                   UINT64_MAX, 0xFF00FF00, 63,          64};
#define N_SAMPLES (sizeof samples / sizeof *samples)

static void same_for_all(const char *program, const char *const *exports) {
    struct pair p;
    open_pair(&p, program, NULL);
    for (; *exports; exports++) {
        assert_true(compiled(&p, *exports));
        for (size_t i = 0; i < N_SAMPLES; i++)
            for (size_t k = 0; k < N_SAMPLES; k++) same(&p, *exports, samples[i], samples[k]);
    }
    close_pair(&p);
}

static void bytes_in_reverse_order_are_one_instruction(void **state) {
    static const char program[] =
        "(module (func (export \"32\") (param i32) (result i32)"
        " (i32.or (i32.or (i32.shl (local.get 0) (i32.const 24))"
        "   (i32.and (i32.shl (local.get 0) (i32.const 8)) (i32.const 0xff0000)))"
        "  (i32.or (i32.and (i32.shr_u (local.get 0) (i32.const 8)) (i32.const 0xff00))"
        "   (i32.shr_u (local.get 0) (i32.const 24)))))"
        "(func (export \"64\") (param i64) (result i64)"
        " (i64.or (i64.or"
        "   (i64.or (i64.shl (local.get 0) (i64.const 56))"
        "    (i64.and (i64.shl (local.get 0) (i64.const 40)) (i64.const 0xff000000000000)))"
        "   (i64.or (i64.and (i64.shl (local.get 0) (i64.const 24)) (i64.const 0xff0000000000))"
        "    (i64.and (i64.shl (local.get 0) (i64.const 8)) (i64.const 0xff00000000))))"
        "  (i64.or (i64.or (i64.and (i64.shr_u (local.get 0) (i64.const 8)) (i64.const 0xff000000))"
        "    (i64.and (i64.shr_u (local.get 0) (i64.const 24)) (i64.const 0xff0000)))"
        "   (i64.or (i64.and (i64.shr_u (local.get 0) (i64.const 40)) (i64.const 0xff00))"
        "    (i64.shr_u (local.get 0) (i64.const 56))))))"
        "(func (export \"turned\") (param i32) (result i32)"
        " (i32.or (i32.rotl (i32.and (local.get 0) (i32.const 0xff00ff)) (i32.const 24))"
        "  (i32.and (i32.rotl (local.get 0) (i32.const 8)) (i32.const 0xff00ff)))))";
    (void)state;
    expect_code(program, (const char *const[]){"bswap e", "bswap r", "! shl ", "! rorx ", "! shr ", NULL});
    same_for_all(program, (const char *const[]){"32", "64", "turned", NULL});
}

static void two_bytes_change_places(void **state) {
    static const char program[] =
        "(module (memory 1) (func (export \"two\") (param i32) (result i32) (local $x i32)"
        " (i32.store (i32.const 8) (local.get 0)) (local.set $x (i32.load16_u (i32.const 8)))"
        " (i32.and (i32.const 0xffff)"
        "  (i32.or (i32.shl (local.get $x) (i32.const 8)) (i32.shr_u (local.get $x) (i32.const 8))))))";
    static const char four[] =
        "(module (func (export \"four\") (param i32) (result i32)"
        " (i32.and (i32.const 0xffff)"
        "  (i32.or (i32.shl (local.get 0) (i32.const 8)) (i32.shr_u (local.get 0) (i32.const 8))))))";
    (void)state;
    expect_code(program, (const char *const[]){" bswap ", " shr ", "! shl ", "! and e", NULL});
    same_for_all(program, (const char *const[]){"two", NULL});
    expect_code(four, (const char *const[]){"! bswap ", NULL}); /* the third byte gets into the second */
    same_for_all(four, (const char *const[]){"four", NULL});
}

/* One byte is missing, stands elsewhere, or is another value's. */
static void what_is_nearly_a_reversal_is_none(void **state) {
    static const char program[] =
        "(module (func (export \"missing\") (param i32 i32) (result i32)"
        " (i32.or (i32.shl (local.get 0) (i32.const 24))"
        "  (i32.or (i32.and (i32.shr_u (local.get 0) (i32.const 8)) (i32.const 0xff00))"
        "   (i32.shr_u (local.get 0) (i32.const 24)))))"
        "(func (export \"other\") (param i32 i32) (result i32)"
        " (i32.or (i32.or (i32.shl (local.get 0) (i32.const 24))"
        "   (i32.and (i32.shl (local.get 1) (i32.const 8)) (i32.const 0xff0000)))"
        "  (i32.or (i32.and (i32.shr_u (local.get 0) (i32.const 8)) (i32.const 0xff00))"
        "   (i32.shr_u (local.get 0) (i32.const 24)))))"
        "(func (export \"signed\") (param i32 i32) (result i32)"
        " (i32.or (i32.or (i32.shl (local.get 0) (i32.const 24))"
        "   (i32.and (i32.shl (local.get 0) (i32.const 8)) (i32.const 0xff0000)))"
        "  (i32.or (i32.and (i32.shr_u (local.get 0) (i32.const 8)) (i32.const 0xff00))"
        "   (i32.shr_s (local.get 0) (i32.const 24)))))"
        "(func (export \"half\") (param i32 i32) (result i32)"
        " (i32.or (i32.shl (local.get 0) (i32.const 8)) (i32.shr_u (local.get 0) (i32.const 8)))))";
    (void)state;
    expect_code(program, (const char *const[]){"! bswap ", NULL});
    same_for_all(program, (const char *const[]){"missing", "other", "signed", "half", NULL});
}

static void two_shifts_are_a_rotation(void **state) {
    static const char program[] =
        "(module (func (export \"by7\") (param i32) (result i32)"
        " (i32.or (i32.shr_u (local.get 0) (i32.const 25)) (i32.shl (local.get 0) (i32.const 7))))"
        "(func (export \"left\") (param i32 i32) (result i32)"
        " (i32.or (i32.shl (local.get 0) (i32.and (local.get 1) (i32.const 31)))"
        "  (i32.shr_u (local.get 0) (i32.sub (i32.const 32) (local.get 1)))))"
        "(func (export \"right\") (param i64 i64) (result i64)"
        " (i64.or (i64.shl (local.get 0) (i64.sub (i64.const 0) (local.get 1)))"
        "  (i64.shr_u (local.get 0) (local.get 1)))))";
    static const char not_quite[] = "(module (func (export \"33\") (param i32 i32) (result i32)"
                                    " (i32.or (i32.shl (local.get 0) (local.get 1))"
                                    "  (i32.shr_u (local.get 0) (i32.sub (i32.const 33) (local.get 1)))))"
                                    "(func (export \"xor\") (param i32 i32) (result i32)"
                                    " (i32.xor (i32.shl (local.get 0) (local.get 1))"
                                    "  (i32.shr_u (local.get 0) (i32.sub (i32.const 32) (local.get 1))))))";
    (void)state;
    expect_code(program, (const char *const[]){"! shl ", "! shr ", "! shlx ", "! shrx ", "! or ", NULL});
    same_for_all(program, (const char *const[]){"by7", "left", "right", NULL});
    same_for_all(not_quite, (const char *const[]){"33", "xor", NULL});
}

static void one_bit_is_tested_and_changed_at_once(void **state) {
    static const char program[] =
        "(module (func (export \"down\") (param i32 i32) (result i32)"
        " (if (result i32) (i32.and (i32.shr_u (local.get 0) (local.get 1)) (i32.const 1))"
        "  (then (i32.const 5)) (else (i32.const 9))))"
        "(func (export \"mask\") (param i64 i64) (result i64)"
        " (if (result i64) (i64.eqz (i64.and (i64.shl (i64.const 1) (local.get 1)) (local.get 0)))"
        "  (then (i64.const 5)) (else (i64.const 9))))"
        "(func (export \"wrapped\") (param i64 i64) (result i64)"
        " (select (i64.const 3) (local.get 0)"
        "  (i32.wrap_i64 (i64.and (i64.shr_u (local.get 0) (local.get 1)) (i64.const 1)))))"
        "(func (export \"set\") (param i32 i32) (result i32)"
        " (i32.or (i32.shl (i32.const 1) (local.get 1)) (local.get 0)))"
        "(func (export \"flip\") (param i64 i64) (result i64)"
        " (i64.xor (local.get 0) (i64.shl (i64.const 1) (local.get 1))))"
        "(func (export \"clear\") (param i32 i32) (result i32)"
        " (i32.and (local.get 0) (i32.rotl (i32.const -2) (local.get 1))))"
        "(func (export \"of_a_constant\") (param i32) (result i32)"
        " (if (result i32) (i32.and (i32.shr_u (i32.const 0x80301) (local.get 0)) (i32.const 1))"
        "  (then (i32.const 5)) (else (i32.const 9))))"
        "(func (export \"bit_of_a_constant\") (param i32) (result i32)"
        " (select (i32.const 7) (local.get 0)"
        "  (i32.ne (i32.and (i32.shl (i32.const 1) (local.get 0)) (i32.const 0x80301)) (i32.const 0)))))";
    (void)state;
    expect_code(program, (const char *const[]){" bt e", " bt r", "bts e", "btc r", "btr e", "! shlx ",
                                               "! shrx ", NULL});
    same_for_all(program, (const char *const[]){"down", "mask", "wrapped", "set", "flip", "clear",
                                                "of_a_constant", "bit_of_a_constant", NULL});
}

/* 64 KiB of bytes by their place; addresses of 32 bits that are products. */
/* A local that a loop without a way back writes turns out to be a constant when the test is made already. */
static void bits_of_late_constants_are_tested(void **state) {
    static const char program[] =
        "(module (func (export \"bit\") (param i32 i32) (result i32) (local $c i32)"
        " (local.set $c (i32.const 5))"
        " (loop"
        "  (if (i32.and (local.get 0) (i32.shl (i32.const 1) (local.get $c))) (then (return (i32.const 1))))"
        "  (local.set $c (local.get 1)))"
        " (local.get $c))"
        " (func (export \"bits\") (param i32 i32) (result i32) (local $c i32)"
        " (local.set $c (i32.const 5))"
        " (loop"
        "  (if (i32.and (local.get $c) (i32.shl (i32.const 1) (local.get 1))) (then (return (i32.const 1))))"
        "  (local.set $c (local.get 0)))"
        " (local.get $c)))";
    (void)state;
    same_for_all(program, (const char *const[]){"bit", "bits", NULL});
}

static void products_are_part_of_the_access(void **state) {
    static const char program[] =
        "(module (memory 1) (func (export \"fill\") (param i32 i32) (result i32) (local $i i32)"
        " (loop (i32.store8 (local.get $i) (i32.mul (local.get $i) (i32.const 37)))"
        "  (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))"
        " (i32.const 0))"
        "(func (export \"byte\") (param i32 i32) (result i32)"
        " (i32.load offset=64 (i32.shl (i32.and (local.get 0) (i32.const 255)) (i32.const 2))))"
        "(func (export \"above\") (param i32 i32) (result i32)"
        " (i32.load offset=64 (i32.and (i32.shr_u (local.get 0) (i32.const 16)) (i32.const 0xfffc))))"
        "(func (export \"sum\") (param i32 i32) (result i32)"
        " (i32.load16_u (i32.add (i32.and (i32.shl (local.get 0) (i32.const 1)) (i32.const 0x3fe))"
        "  (i32.const 512))))"
        "(func (export \"change\") (param i32 i32) (result i32) (local $at i32)"
        " (i64.store (local.tee $at (i32.shl (i32.and (local.get 0) (i32.const 0x1fff)) (i32.const 3)))"
        "  (i64.add (i64.load (local.get $at)) (i64.const 3))) (i32.load (local.get $at))))";
    static const char wraps[] =
        "(module (memory 1) (data (i32.const 0) \"abcdefghijkl\")"
        "(func (export \"wraps\") (param i32 i32) (result i32)"
        " (i32.load8_u (i32.shl (local.get 0) (i32.const 2))))"
        "(func (export \"below\") (param i32 i32) (result i32)"
        " (i32.load8_u (i32.add (i32.and (local.get 0) (i32.const 7)) (i32.const -4))))"
        "(func (export \"beyond\") (param i32 i32) (result i32)"
        " (i32.load8_u offset=65535 (i32.shl (i32.shr_u (local.get 0) (i32.const 30)) (i32.const 3)))))";
    (void)state;
    expect_code(program, (const char *const[]){"*4+0x40]", "*8]", "*2", NULL});
    expect_code(wraps, (const char *const[]){"*8", "!*4", NULL});
    same_for_all(program, (const char *const[]){"fill", "byte", "above", "sum", "change", "byte", NULL});
    same_for_all(wraps, (const char *const[]){"wraps", "below", "beyond", NULL});
}

static void elements_of_arrays_are_addressed_at_once(void **state) {
    static const char program[] =
        "(module (type $a (array (mut i32))) (type $w (array (mut i64)))"
        "(func (export \"get\") (param i32 i32) (result i32) (local $x (ref $a))"
        " (local.set $x (array.new $a (local.get 0) (i32.const 70)))"
        " (array.set $a (local.get $x) (i32.const 33) (local.get 1))"
        " (i32.add (array.get $a (local.get $x) (local.get 1))"
        "  (array.get $a (local.get $x) (i32.const 33))))"
        "(func (export \"wide\") (param i64 i64) (result i64)"
        " (array.get $w (array.new $w (local.get 0) (i32.const 70)) (i32.wrap_i64 (local.get 1)))))";
    (void)state;
    expect_code(program, (const char *const[]){"*4+0x", "*8+0x", NULL});
    same_for_all(program, (const char *const[]){"get", "wide", NULL});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_in_reverse_order_are_one_instruction),
        cmocka_unit_test(two_bytes_change_places),
        cmocka_unit_test(what_is_nearly_a_reversal_is_none),
        cmocka_unit_test(two_shifts_are_a_rotation),
        cmocka_unit_test(one_bit_is_tested_and_changed_at_once),
        cmocka_unit_test(bits_of_late_constants_are_tested),
        cmocka_unit_test(products_are_part_of_the_access),
        cmocka_unit_test(elements_of_arrays_are_addressed_at_once),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
