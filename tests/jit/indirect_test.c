/* tests/jit/indirect_test.c: calls through tables. A call is quick where type and instance of the function are those at
 * hand; every other function of the table has to be called, or refused, all the same. */
#include "tests/jit/pair.h"

/* Elements by number: a function of ours, one of another type, two like the first, two of the other instance, of either
 * type, null, and what is behind the end. */
#define OTHER                                                                                                \
    "(module (memory 1) (data (i32.const 0) \"\\0b\")"                                                       \
    "(func (export \"theirs\") (param i64 i64) (result i64)"                                                 \
    " (i64.add (i64.mul (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0))))"                          \
    "(func (export \"theirs too\") (param i64) (result i64) (i64.add (local.get 0) (i64.load8_u (i32.const " \
    "0))))"                                                                                                  \
    "(table (export \"fixed\") 8 8 funcref) (table (export \"growing\") 8 funcref))"
#define IMPORTS                                                                                              \
    "(import \"\" \"theirs\" (func $theirs (param i64 i64) (result i64)))"                                   \
    "(import \"\" \"theirs too\" (func $theirs_too (param i64) (result i64)))"
#define FUNCTIONS                                                                                            \
    "(type $f (func (param i64 i64) (result i64))) (type $same (func (param i64 i64) (result i64)))"         \
    "(type $g (func (param i64) (result i64))) (type $nobody (func (param f32) (result i64)))"               \
    "(memory 1) (data (i32.const 0) \"\\05\")"                                                               \
    "(func $other_type (param i64) (result i64) (i64.add (local.get 0) (i64.load8_u (i32.const 0))))"        \
    "(func $first (type $f) (i64.add (local.get 0) (i64.load8_u (i32.const 0))))"                            \
    "(func $second (type $same) (i64.sub (local.get 0) (local.get 1)))"                                      \
    "(elem (table $t) (i32.const 0) func $first $other_type $second $second $theirs $theirs_too)"            \
    "(elem declare func $second)"                                                                            \
    "(func (export \"call\") (param i64 i64) (result i64)"                                                   \
    " (i64.add (call_indirect $t (type $f) (local.get 1) (i64.const 3) (i32.wrap_i64 (local.get 0)))"        \
    "  (i64.mul (local.get 1) (i64.load8_u (i32.const 0)))))"                                                \
    "(func (export \"call by equal type\") (param i64 i64) (result i64)"                                     \
    " (call_indirect $t (type $same) (local.get 1) (i64.const 3) (i32.wrap_i64 (local.get 0))))"             \
    "(func (export \"call one\") (param i64 i64) (result i64)"                                               \
    " (call_indirect $t (type $g) (local.get 1) (i32.wrap_i64 (local.get 0))))"                              \
    "(func (export \"call nobody\") (param i64 i64) (result i64)"                                            \
    " (call_indirect $t (type $nobody) (f32.const 1) (i32.wrap_i64 (local.get 0))))"                         \
    "(func (export \"constant\") (param i64 i64) (result i64)"                                               \
    " (call_indirect $t (type $f) (local.get 0) (local.get 1) (i32.const 3)))"                               \
    "(func (export \"loop\") (param i64 i64) (result i64) (local $i i32) (local $sum i64)"                   \
    " (loop $l (local.set $sum (i64.add (i64.mul (local.get $sum) (local.get 1))"                            \
    "   (call_indirect $t (type $f) (local.get $sum) (local.get 0)"                                          \
    "    (i32.and (local.get $i) (i32.const 4)))))"                                                          \
    "  (local.set $i (i32.add (local.get $i) (i32.const 1)))"                                                \
    "  (br_if $l (i32.lt_u (local.get $i) (i32.const 20)))) (local.get $sum))"                               \
    "(func (export \"clear\") (param i64 i64) (result i64)"                                                  \
    " (table.set $t (i32.wrap_i64 (local.get 0)) (ref.null func)) (i64.const 0))"                            \
    "(func (export \"set\") (param i64 i64) (result i64)"                                                    \
    " (table.set $t (i32.wrap_i64 (local.get 0)) (ref.func $second)) (i64.const 0))"                         \
    "(func (export \"grow\") (param i64 i64) (result i64)"                                                   \
    " (i64.extend_i32_s (table.grow $t (ref.func $second) (i32.wrap_i64 (local.get 0)))))"

static void call_all(struct pair *p) {
    static const uint64_t indices[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        same(p, "call", indices[i], 70);
        same(p, "call by equal type", indices[i], 70);
        same(p, "call one", indices[i], 70);
        same(p, "call nobody", indices[i], 70);
    }
    same(p, "constant", 9, 4);
    same(p, "loop", 9, 4);
}

static void check(const char *text) {
    struct pair p;
    open_pair(&p, text, OTHER);
    assert_true(compiled(&p, "call") && compiled(&p, "call nobody") && compiled(&p, "loop"));
    for (int round = 0; round < 2; round++) call_all(&p); /* auto compiles behind the first */
    assert_int_equal(same(&p, "call", 0, 70), 70 + 5 + 70 * 5);
    assert_int_equal(same(&p, "call", 4, 70), 70 * 3 + 11 + 70 * 5);
    assert_int_equal(same(&p, "call one", 5, 70), 70 + 11);
    same(&p, "clear", 3, 0);
    same(&p, "constant", 9, 4);
    same(&p, "set", 6, 0);
    call_all(&p);
    same(&p, "grow", 2000, 0);
    same(&p, "grow", 100000, 0);
    same(&p, "call", 1500, 70);
    call_all(&p);
    close_pair(&p);
}

static void functions_of_a_table_that_never_grows_are_called(void **state) {
    (void)state;
    check("(module " IMPORTS "(table $t 8 8 funcref)" FUNCTIONS ")");
}

static void functions_of_a_table_that_grows_are_called(void **state) {
    (void)state;
    check("(module " IMPORTS "(table $t 8 funcref)" FUNCTIONS ")");
}

static void functions_of_imported_tables_are_called(void **state) {
    (void)state;
    check("(module " IMPORTS "(import \"\" \"fixed\" (table $t 8 8 funcref))" FUNCTIONS ")");
    check("(module " IMPORTS "(import \"\" \"growing\" (table $t 2 funcref))" FUNCTIONS ")");
}

/* Signed, 32 of the index's bits would be enough. */
static void tables_of_64_bits_look_at_the_whole_index(void **state) {
    static const char *const limits[] = {"8 8", "8"};
    char text[1024];
    struct pair p;
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 "(module (type $f (func (param i64 i64) (result i64))) (table $t i64 %s funcref)"
                 "(elem (table $t) (i64.const 0) func $add $add)"
                 "(func $add (type $f) (i64.add (local.get 0) (local.get 1)))"
                 "(func (export \"call\") (param i64 i64) (result i64)"
                 " (call_indirect $t (type $f) (local.get 1) (i64.const 3) (local.get 0))))",
                 limits[i]);
        open_pair(&p, text, NULL);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(same(&p, "call", 1, 70), 73);
            same(&p, "call", 2, 70);
            same(&p, "call", 8, 70);
            same(&p, "call", UINT64_C(1) << 32 | 1, 70);
            same(&p, "call", UINT64_MAX, 70);
            same(&p, "call", UINT64_C(1) << 63, 70);
        }
        close_pair(&p);
    }
}

static void functions_of_types_below_the_wanted_one_are_called(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (type $top (sub (func (param i64) (result i64))))"
              "(type $middle (sub $top (func (param i64) (result i64))))"
              "(type $bottom (sub $middle (func (param i64) (result i64))))"
              "(type $beside (sub $top (func (param i64) (result i64))))"
              "(import \"\" \"theirs\" (func $theirs (type $middle)))"
              "(table $t 6 6 funcref) (elem (table $t) (i32.const 0) func $a $b $c $theirs $d)"
              "(func $a (type $middle) (i64.add (local.get 0) (i64.const 1)))"
              "(func $b (type $bottom) (i64.add (local.get 0) (i64.const 2)))"
              "(func $c (type $top) (i64.add (local.get 0) (i64.const 3)))"
              "(func $d (type $beside) (i64.add (local.get 0) (i64.const 4)))"
              "(func (export \"top\") (param i64 i64) (result i64)"
              " (call_indirect $t (type $top) (local.get 1) (i32.wrap_i64 (local.get 0))))"
              "(func (export \"middle\") (param i64 i64) (result i64)"
              " (call_indirect $t (type $middle) (local.get 1) (i32.wrap_i64 (local.get 0))))"
              "(func (export \"bottom\") (param i64 i64) (result i64)"
              " (call_indirect $t (type $bottom) (local.get 1) (i32.wrap_i64 (local.get 0)))))",
              "(module (type $top (sub (func (param i64) (result i64))))"
              "(type $middle (sub $top (func (param i64) (result i64))))"
              "(type $bottom (sub $middle (func (param i64) (result i64))))"
              "(func (export \"theirs\") (type $bottom) (i64.mul (local.get 0) (i64.const 5))))");
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 7; i++) {
            same(&p, "top", i, 10);
            same(&p, "middle", i, 10);
            same(&p, "bottom", i, 10);
        }
    assert_int_equal(same(&p, "middle", 1, 10), 12);
    assert_int_equal(same(&p, "bottom", 3, 10), 50);
    close_pair(&p);
}

/* What is thrown by a function of a table, near or far, comes to the handler around its call. */
static void exceptions_come_out_of_calls_through_tables(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"tag\" (tag $e (param i64))) (import \"\" \"far\" (func $far (param i64)))"
        "(type $f (func (param i64))) (table $t 2 2 funcref) (elem (table $t) (i32.const 0) func $near $far)"
        "(func $near (type $f) (throw $e (i64.add (local.get 0) (i64.const 1))))"
        "(func (export \"f\") (param i64 i64) (result i64)"
        " (block $h (result i64) (try_table (catch $e $h)"
        "   (call_indirect $t (type $f) (local.get 1) (i32.wrap_i64 (local.get 0))))"
        "  (i64.const 0))))",
        "(module (tag $e (export \"tag\") (param i64))"
        "(func (export \"far\") (param i64) (throw $e (i64.add (local.get 0) (i64.const 2)))))");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(same(&p, "f", 0, 10), 11);
        assert_int_equal(same(&p, "f", 1, 10), 12);
        same(&p, "f", 2, 10);
    }
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_a_table_that_never_grows_are_called),
        cmocka_unit_test(functions_of_a_table_that_grows_are_called),
        cmocka_unit_test(functions_of_imported_tables_are_called),
        cmocka_unit_test(tables_of_64_bits_look_at_the_whole_index),
        cmocka_unit_test(functions_of_types_below_the_wanted_one_are_called),
        cmocka_unit_test(exceptions_come_out_of_calls_through_tables),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
