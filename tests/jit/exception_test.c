/* tests/jit/exception_test.c: exceptions in compiled code, out of it and into it: both kinds of try, the same results and
 * frames as interpreted. */
#include "tests/jit/pair.h"

static void handlers_are_found_by_tag_and_nesting(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (tag $a (param i32)) (tag $b (param i64 f32 i32)) (tag $c)"
        "(func $throw (param i32 i32) (block (block (block (block (br_table 0 1 2 3 (local.get 0)))"
        "  (throw $a (local.get 1))) (throw $b (i64.const -3) (f32.const 1.5) (local.get 1))) (throw $c)))"
        "(func (export \"nested\") (param i32 i32) (result i32) (local $kept i32)"
        "  (local.set $kept (i32.mul (local.get 1) (i32.const 3)))"
        "  (block $any (block $ha (result i32)"
        "    (try_table (catch $a $ha) (catch_all $any)"
        "      (block $hb (result i64 f32 i32)"
        "        (try_table (catch $b $hb) (call $throw (local.get 0) (local.get 1)) (return (i32.const "
        "1000)))"
        "        unreachable)"
        "      (local.set 1) (drop) (drop)"
        "      (return (i32.add (local.get 1) (local.get $kept)))) unreachable)"
        "   (return (i32.sub (local.get $kept))))"
        "  (i32.sub (i32.const -1) (local.get $kept)))"
        "(func (export \"here\") (param i32 i32) (result i32)"
        "  (block $h (result i32) (try_table (result i32) (catch $a $h)"
        "    (if (local.get 0) (then (throw $a (i32.mul (local.get 1) (local.get 1))))) (i32.const 5))))"
        "(func (export \"before\") (param i32 i32) (result i32)"
        "  (call $throw (local.get 0) (local.get 1))"
        "  (block $h (try_table (catch_all $h) (call $throw (local.get 0) (local.get 1))) (return (i32.const 1)))"
        "  (i32.const 2))"
        "(func (export \"wrong\") (param i32 i32) (result i32)"
        "  (block $h (try_table (catch $c $h) (call $throw (local.get 0) (local.get 1))) (return (i32.const "
        "1)))"
        "  (i32.const 2)))",
        NULL);
    assert_true(compiled(&p, "nested") && compiled(&p, "here") && compiled(&p, "wrong"));
    for (uint64_t i = 0; i < 4; i++)
        for (uint64_t k = 0; k < 4; k++) {
            same(&p, "nested", i, 7 + k);
            same(&p, "here", i, k);
            same(&p, "wrong", i, k);
            same(&p, "before", i, k); /* its first call is outside of the try */
        }
    assert_int_equal(same(&p, "nested", 0, 5), (uint32_t)(5 - 15));
    assert_int_equal(same(&p, "nested", 1, 5), 20);
    assert_int_equal(same(&p, "nested", 2, 5), (uint32_t)-16);
    close_pair(&p);
}

/* Registers that functions keep for their callers come back on the way out of them. */
static void values_survive_a_throw_through_busy_frames(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (tag $e (param i64))"
              "(func $id (param i64) (result i64) (local.get 0))"
              "(func $deep (param i64 i64) (result i64) (local i64 i64 i64 i64 i64)"
              "  (local.set 2 (call $id (local.get 1))) (local.set 3 (i64.add (local.get 2) (i64.const 3)))"
              "  (local.set 4 (i64.mul (local.get 3) (i64.const 5))) (local.set 5 (call $id (local.get 4)))"
              "  (if (i64.eqz (local.get 0)) (then (throw $e (local.get 1))))"
              "  (local.set 6 (call $deep (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) "
              "(i64.const 1))))"
              "  (i64.add (local.get 6) (i64.add (local.get 5) (i64.add (local.get 4) (i64.add (local.get 3) "
              "(local.get 2))))))"
              "(func $catch (export \"catch\") (param i64 i64) (result i64)"
              "  (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $f f64) (local $v v128)"
              "  (local.set $a (call $id (i64.const 11))) (local.set $b (call $id (i64.const 22)))"
              "  (local.set $c (call $id (i64.const 33))) (local.set $d (call $id (i64.const 44)))"
              "  (local.set $f (f64.convert_i64_s (local.get 1))) (local.set $v (i64x2.splat (local.get 0)))"
              "  (block $h (result i64) (try_table (result i64) (catch $e $h)"
              "    (local.set $a (i64.add (local.get $a) (i64.const 1)))"
              "    (drop (call $deep (local.get 0) (local.get 1)))"
              "    (local.set $a (i64.const 0)) (i64.const 1)))"
              "  (i64.add (i64.mul (i64.const 1000)) (i64.trunc_f64_s (local.get $f)))"
              "  (i64.add (i64x2.extract_lane 1 (local.get $v)))"
              "  (i64.add (i64.add (local.get $a) (i64.add (local.get $b) (i64.add (local.get $c) (local.get "
              "$d))))))"
              "(func (export \"around\") (param i64 i64) (result i64) (local i64 i64)"
              "  (local.set 2 (call $id (i64.const 7))) (local.set 3 (call $id (i64.const 70)))"
              "  (i64.add (call $catch (local.get 0) (local.get 1)) (i64.add (local.get 2) (local.get 3))))"
              "(func (export \"loop\") (param i64 i64) (result i64) (local i64)"
              "  (loop $again (block $h (result i64) (try_table (result i64) (catch $e $h) (call $deep "
              "(local.get 1) (local.get 0))))"
              "    (local.set 2 (i64.add (i64.rotl (local.get 2) (i64.const 5))))"
              "    (br_if $again (i64.ne (i64.const 0) (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))"
              "  (local.get 2)))",
              NULL);
    assert_true(compiled(&p, "catch") && compiled(&p, "loop"));
    for (uint64_t i = 0; i < 20; i++) {
        same(&p, "catch", i, 5 * i);
        same(&p, "around", i, i);
        same(&p, "loop", 30, i);
    }
    assert_int_equal(same(&p, "catch", 2, 5), 7 * 1000 + 5 + 2 + 12 + 22 + 33 + 44);
    close_pair(&p);
}

static void old_tries_catch_delegate_and_rethrow(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (tag $a (param i32)) (tag $b)"
              "(func $throw (param i32 i32) (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a "
              "(local.get 1))))"
              "  (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b))))"
              "(func (export \"catch\") (param i32 i32) (result i32)"
              "  (try (result i32) (do (call $throw (local.get 0) (local.get 1)) (i32.const 1))"
              "   (catch $a (i32.mul (i32.const 3))) (catch_all (i32.const 77))))"
              "(func (export \"delegate\") (param i32 i32) (result i32)"
              "  (try $outer (result i32) (do"
              "    (try $mid (result i32) (do (try (result i32) (do (call $throw (local.get 0) (local.get "
              "1)) (i32.const 1))"
              "      (delegate $outer))) (catch_all (i32.const 5))))"
              "   (catch $a) (catch_all (i32.const 6))))"
              "(func (export \"away\") (param i32 i32) (result i32)"
              "  (try (result i32) (do (try (result i32) (do (call $throw (local.get 0) (local.get 1)) "
              "(i32.const 1)) (delegate 1)))"
              "   (catch_all (i32.const 5))))"
              "(func (export \"rethrow\") (param i32 i32) (result i32) (local i32)"
              "  (try (result i32) (do"
              "    (try (result i32) (do (call $throw (local.get 0) (local.get 1)) (i32.const 1))"
              "     (catch_all (local.set 2 (i32.const 100))"
              "       (try (do (call $throw (i32.const 2) (i32.const 0))) (catch_all (local.set 2 (i32.add "
              "(local.get 2) (i32.const 1)))"
              "         (if (i32.eq (local.get 1) (i32.const 9)) (then (rethrow 1)))"
              "         (rethrow 1)))"
              "       (i32.const 3))))"
              "   (catch $a (i32.add (local.get 2))) (catch $b (local.get 2))))"
              "(func (export \"cleanup\") (param i32 i32) (try (do (call $throw (local.get 0) (local.get "
              "1))) (catch_all (rethrow 0))))"
              "(func (export \"none\") (param i32 i32) (result i32) (try (result i32) (do (call $throw "
              "(local.get 0) (local.get 1)) (i32.const 4)))))",
              NULL);
    const char *const names[] = {"catch", "delegate", "away", "rethrow", "cleanup", "none"};
    for (unsigned n = 0; n < 6; n++) {
        assert_true(compiled(&p, names[n]));
        for (uint64_t i = 0; i < 12; i++) same(&p, names[n], i % 3, i);
    }
    assert_int_equal(same(&p, "rethrow", 1, 8), 109);
    assert_int_equal(same(&p, "delegate", 1, 8), 8);
    close_pair(&p);
}

static void references_carry_exceptions(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (tag $a (param i32 v128)) (tag $b) (table $kept 1 exnref)"
        "(func $throw (param i32 i32) (if (local.get 0) (then (throw $a (local.get 1) (i32x4.splat "
        "(local.get 1))))) (throw $b))"
        "(func $keep (export \"keep\") (param i32 i32) (result i32)"
        "  (block $h (result i32 v128 exnref) (try_table (catch_ref $a $h) (call $throw (local.get 0) "
        "(local.get 1)))"
        "    unreachable)"
        "  (local.set 0 (i32.const 0)) (drop) (drop))"
        "(func (export \"again\") (param i32 i32) (result i32) (local $r exnref)"
        "  (block $all (result exnref) (try_table (catch_all_ref $all) (call $throw (local.get 0) (local.get "
        "1))) unreachable)"
        "  (local.set $r)"
        "  (block $h (result i32 v128) (try_table (catch $a $h) (throw_ref (local.get $r))) unreachable)"
        "  (i32x4.extract_lane 2) (i32.add))"
        "(func (export \"null\") (param i32 i32) (throw_ref (ref.null exn)))"
        "(func (export \"null caught\") (param i32 i32) (block $h (try_table (catch_all $h) (throw_ref "
        "(ref.null exn))))))",
        NULL);
    assert_true(compiled(&p, "keep") && compiled(&p, "again") && compiled(&p, "null"));
    assert_int_equal(same(&p, "again", 1, 21), 42);
    same(&p, "again", 0, 1);
    same(&p, "keep", 1, 4);
    same(&p, "keep", 0, 4);
    same(&p, "null", 0, 0);
    same(&p, "null caught", 0, 0);
    close_pair(&p);
}

static void exceptions_cross_instances_and_tail_calls(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (tag $e (import \"imports\" \"e\") (param i32))"
        "(func $throw (import \"imports\" \"throw\") (param i32))"
        "(func $through (import \"imports\" \"through\") (param funcref i32))"
        "(func $tail (import \"imports\" \"tail\") (param i32)) (tag $own (param i32)) (memory 1) (table "
        "funcref (elem $own_throw))"
        "(func $own_throw (param i32) (throw $own (local.get 0)))"
        "(func (export \"far\") (param i32 i32) (result i32) (i32.store (i32.const 4) (i32.const 99))"
        "  (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get 0))) (return (i32.const "
        "1)))"
        "  (i32.add (i32.load (i32.const 4))))"
        "(func (export \"through\") (param i32 i32) (result i32) (i32.store (i32.const 4) (i32.const 99))"
        "  (block $h (result i32) (try_table (catch $own $h) (call $through (ref.func $own_throw) (local.get "
        "0)))"
        "   (return (i32.const 1)))"
        "  (i32.add (i32.load (i32.const 4))))"
        "(func (export \"tail\") (param i32 i32) (result i32) (i32.store (i32.const 4) (i32.const 99))"
        "  (block $h (result i32) (try_table (catch $e $h) (call $tail (local.get 0))) (return (i32.const "
        "1)))"
        "  (i32.add (i32.load (i32.const 4))))"
        "(func $away (param i32) (return_call $tail (local.get 0)))"
        "(func (export \"far tail\") (param i32 i32) (result i32) (i32.store (i32.const 4) (i32.const 99))"
        "  (block $h (result i32) (try_table (catch $own $h) (catch $e $h) (call $away (local.get 0))) "
        "(return (i32.const 1)))"
        "  (i32.add (i32.load (i32.const 4))))"
        "(func (export \"tail out of a try\") (param i32 i32) (result i32)"
        "  (block $h (result i32) (try_table (result i32) (catch $e $h) (return_call $result (local.get "
        "0)))))"
        "(func $result (param i32) (result i32) (call $throw (local.get 0)) (i32.const 1)))",
        "(module (tag $e (export \"e\") (param i32)) (memory 1) (type $f (func (param i32)))"
        "(func $throw (export \"throw\") (param i32) (i32.store (i32.const 4) (i32.const 5)) (throw $e "
        "(local.get 0)))"
        "(func (export \"through\") (param funcref i32)"
        "  (block $h (result i32) (try_table (catch $e $h) (call_ref $f (local.get 1) (ref.cast (ref $f) "
        "(local.get 0))))"
        "   (return)) (drop))"
        "(func (export \"tail\") (param i32) (return_call $throw (local.get 0))))");
    const char *const names[] = {"far", "through", "tail", "far tail", "tail out of a try"};
    for (unsigned n = 0; n < 5; n++) {
        assert_true(compiled(&p, names[n]));
        for (uint64_t i = 0; i < 5; i++) same(&p, names[n], i, 0);
    }
    assert_int_equal(same(&p, "far", 3, 0), 102);
    assert_int_equal(same(&p, "through", 3, 0), 102);
    close_pair(&p);
}

/* Under `auto` the loop is entered while it runs, with its try around it or in it. */
static void loops_in_tries_go_on_compiled(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (tag $e (param i32)) (func $throw (param i32) (throw $e (local.get 0)))"
              "(func (export \"body\") (param i32 i32) (result i32) (local i32)"
              "  (block $h (result i32) (try_table (catch $e $h)"
              "    (loop $again (local.set 2 (i32.add (local.get 2) (local.get 0)))"
              "      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
              "    (call $throw (local.get 1))) unreachable)"
              "  (i32.add (local.get 2)))"
              "(func (export \"old body\") (param i32 i32) (result i32) (local i32)"
              "  (try (result i32) (do"
              "    (loop $again (local.set 2 (i32.add (local.get 2) (local.get 0)))"
              "      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
              "    (call $throw (local.get 1)) (i32.const 0)) (catch $e (i32.add (local.get 2)))))"
              "(func (export \"handler\") (param i32 i32) (result i32) (local i32)"
              "  (try (result i32) (do (call $throw (local.get 1)) (i32.const 0)) (catch $e"
              "    (loop $again (local.set 2 (i32.add (local.get 2) (local.get 0)))"
              "      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
              "    (i32.add (local.get 2))) (catch_all (i32.const 3))))"
              "(func (export \"throws on\") (param i32 i32) (result i32) (local i32)"
              "  (try (result i32) (do (call $throw (local.get 1)) (i32.const 0)) (catch_all"
              "    (loop $again (local.set 2 (i32.add (local.get 2) (local.get 0)))"
              "      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
              "    (rethrow 0))))"
              "(func (export \"inside\") (param i32 i32) (result i32) (local i32)"
              "  (loop $again (block $h (result i32) (try_table (catch $e $h)"
              "     (loop $in (br_if $in (local.tee 1 (i32.shr_u (local.get 1) (i32.const 1)))))"
              "     (call $throw (local.get 0))) (unreachable))"
              "    (local.set 2 (i32.add (i32.mul (local.get 2) (i32.const 3))))"
              "    (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
              "  (local.get 2)))",
              NULL);
    const char *const names[] = {"body", "old body", "handler", "throws on", "inside"};
    for (unsigned n = 0; n < 5; n++) {
        assert_true(compiled(&p, names[n]));
        for (uint64_t i = 1; i < 400; i += 67) same(&p, names[n], i, 1000 + i);
    }
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_are_found_by_tag_and_nesting),
        cmocka_unit_test(values_survive_a_throw_through_busy_frames),
        cmocka_unit_test(old_tries_catch_delegate_and_rethrow),
        cmocka_unit_test(references_carry_exceptions),
        cmocka_unit_test(exceptions_cross_instances_and_tail_calls),
        cmocka_unit_test(loops_in_tries_go_on_compiled),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
