/* tests/jit/tail_test.c: tail calls among functions with and without machine code, of one instance and of two. Each
 * chain is longer than any native stack would hold. */
#include "tests/jit/pair.h"

#define LONG 400001

/* $slow and $slow_wide are interpreted in all tiers: the tail call that they never make may lead elsewhere with a result
 * on the stack. */
static void interpreted_and_compiled_functions_call_each_other(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"two\" (func $two (param i64 i64) (result i64 i64)))"
        "(func $slow (export \"slow\") (param i64 i64) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 1) (i64.const 7))))"
        " (if (i64.eq (local.get 0) (i64.const -1)) (then (return_call $two (i64.const 0) (i64.const 0))))"
        " (return_call $fast (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 3))))"
        "(func $fast (export \"fast\") (param i64 i64) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 1) (i64.const 11))))"
        " (return_call $wide (i64.sub (local.get 0) (i64.const 1)) (local.get 1) (v128.const i64x2 5 2)"
        "  (local.get 0) (local.get 1) (f32.const 13)))"
        "(func $wide (param i64 i64 v128 i64 i64 f32) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 4) (local.get 3))))"
        " (return_call $slow_wide (i64.sub (local.get 0) (i64.const 1)) (local.get 4) (local.get 2)"
        "  (local.get 3) (local.get 1) (local.get 5)))"
        "(func $slow_wide (export \"slow_wide\") (param i64 i64 v128 i64 i64 f32) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 4) (i64.trunc_f32_u (local.get 5)))))"
        " (if (i64.eq (local.get 0) (i64.const -1)) (then (return_call $two (i64.const 0) (i64.const 0))))"
        " (return_call $slow (i64.sub (local.get 0) (i64.const 1))"
        "  (i64.add (local.get 1) (i64x2.extract_lane 0 (local.get 2)))))"
        "(func $from_slow (export \"from_slow\") (param i64 i64) (result i64)"
        " (i64.mul (call $slow (local.get 0) (local.get 1))))"
        "(func $from_fast (export \"from_fast\") (param i64 i64) (result i64)"
        " (i64.mul (call $fast (local.get 0) (local.get 1))))"
        "(func (export \"both\") (param i64 i64) (result i64)"
        " (i64.add (call $from_slow (local.get 0) (local.get 1)) (call $from_fast (local.get 0) (local.get "
        "1))))"
        "(func $loop (param i64) (result i64 i64) (local $n i64)"
        " (loop $l (local.set $n (i64.add (local.get $n) (i64.const 1)))"
        "  (br_if $l (i64.lt_u (local.get $n) (i64.const 1000))))"
        " (return_call $slow (local.get 0) (local.get $n)))"
        "(func (export \"out_of_a_loop\") (param i64 i64) (result i64) (i64.mul (call $loop (local.get "
        "0)))))",
        "(module (func (export \"two\") (param i64 i64) (result i64 i64) (local.get 0) (local.get 1)))");
    assert_true(compiled(&p, "fast") && compiled(&p, "from_slow") && compiled(&p, "from_fast"));
    assert_false(compiled(&p, "slow") || compiled(&p, "slow_wide"));
    for (uint64_t n = 0; n < 6; n++) {
        same(&p, "from_slow", n, 1000);
        same(&p, "from_fast", n, 1000);
    }
    assert_int_equal(same(&p, "from_slow", LONG + 3, 1000), (1000 + (LONG + 3) / 4 * 8) * 7);
    same(&p, "from_fast", LONG, 1000);
    same(&p, "both", LONG, 1000);
    same(&p, "out_of_a_loop", LONG, 0);
    close_pair(&p);
}

/* A function that ends with this never does, and is interpreted: so many arguments stand on the stack. */
#define MANY "(func $many (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (local.get 7))"
#define NEVER                                                                                                \
    " (if (i64.eq (local.get 0) (i64.const -1)) (then (return_call $many (i64.const 1) (i64.const 1)"        \
    "  (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1))))"

/* Each instance adds what stands in its own memory. */
static void two_instances_call_each_other(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"back\" (func $back (param i64 i64) (result i64)))"
        "(import \"\" \"table\" (table $t 4 funcref)) (elem (table $t) (i32.const 1) func $there $slow_there)"
        "(memory 1) (data (i32.const 0) \"\\05\") (type $f (func (param i64 i64) (result i64)))" MANY
        "(func $there (export \"there\") (param i64 i64) (result i64)"
        " (if (i64.eqz (local.get 0)) (then (return (i64.mul (local.get 1) (i64.load8_u (i32.const 0))))))"
        " (return_call $back (i64.sub (local.get 0) (i64.const 1))"
        "  (i64.add (local.get 1) (i64.load8_u (i32.const 0)))))"
        "(func $slow_there (export \"slow there\") (param i64 i64) (result i64)" NEVER
        " (if (i64.eqz (local.get 0)) (then (return (i64.mul (local.get 1) (i64.load8_u (i32.const 0))))))"
        " (return_call_indirect $t (type $f) (i64.sub (local.get 0) (i64.const 1))"
        "  (i64.add (local.get 1) (i64.load8_u (i32.const 0))) (i32.const 3)))"
        "(func (export \"after\") (param i64 i64) (result i64)"
        " (i64.add (call $there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0))))"
        "(func (export \"slow after\") (param i64 i64) (result i64)" NEVER
        " (i64.add (call $there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0))))"
        "(func (export \"after slow\") (param i64 i64) (result i64)"
        " (i64.add (call $slow_there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0)))))",
        "(module (table $t (export \"table\") 4 funcref) (elem (i32.const 3) func $slow_back)"
        "(memory 1) (data (i32.const 0) \"\\0b\") (type $f (func (param i64 i64) (result i64)))" MANY
        "(func $back (export \"back\") (param i64 i64) (result i64)"
        " (return_call_indirect $t (type $f) (local.get 0) (i64.add (local.get 1) (i64.load8_u (i32.const "
        "0)))"
        "  (i32.add (i32.const 1) (i32.wrap_i64 (i64.rem_u (local.get 0) (i64.const 3))))))"
        /* compiled, and at times leads to the other kind */
        "(func $slow_back (param i64 i64) (result i64)" NEVER
        " (return_call_indirect $t (type $f) (local.get 0) (i64.add (local.get 1) (i64.load8_u (i32.const "
        "0)))"
        "  (i32.sub (i32.const 2) (i32.wrap_i64 (i64.rem_u (local.get 0) (i64.const 2)))))))");
    assert_true(compiled(&p, "there") && compiled(&p, "after"));
    assert_false(compiled(&p, "slow there") || compiled(&p, "slow after"));
    const char *const names[] = {"there", "slow there", "after", "slow after", "after slow"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint64_t n = 0; n < 12; n++) same(&p, names[i], n, 1000);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) same(&p, names[i], LONG, 1000);
    close_pair(&p);
}

/* Compiled code alone: what gets back to the first instance is kept once, not a call. */
static void compiled_functions_of_two_instances_call_each_other(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"back\" (func $back (param i64 i64) (result i64)))"
        "(import \"\" \"table\" (table $t 1 funcref)) (elem (table $t) (i32.const 0) func $there)"
        "(memory 1) (data (i32.const 0) \"\\05\")"
        "(func $there (param i64 i64) (result i64)"
        " (if (i64.eqz (local.get 0)) (then (return (i64.mul (local.get 1) (i64.load8_u (i32.const 0))))))"
        " (if (i64.eq (local.get 0) (i64.const 7777)) (then (i64.store (i32.const -1) (i64.const 0))))"
        " (return_call $back (i64.sub (local.get 0) (i64.const 1)) (local.get 1)))"
        "(func (export \"f\") (param i64 i64) (result i64)"
        " (i64.add (call $there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0)))))",
        "(module (table $t (export \"table\") 1 funcref)"
        "(memory 1) (data (i32.const 0) \"\\0b\") (type $f (func (param i64 i64) (result i64)))"
        "(func (export \"back\") (param i64 i64) (result i64)"
        " (return_call_indirect $t (type $f) (local.get 0) (i64.add (local.get 1) (i64.load8_u (i32.const "
        "0)))"
        "  (i32.const 0))))");
    assert_true(compiled(&p, "f"));
    assert_int_equal(same(&p, "f", 7000, 0), 7000 * 11 * 5 + 5);
    same(&p, "f", 1000000, 0); /* traps: the backtrace has two functions */
    assert_int_equal(p.worlds[1].store->n_frames, 2);
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreted_and_compiled_functions_call_each_other),
        cmocka_unit_test(two_instances_call_each_other),
        cmocka_unit_test(compiled_functions_of_two_instances_call_each_other),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
