/* tests/jit/inline_test.c: functions that stand in their callers' code do, trap and tell what they do when they are
 * called. */
#include "jit/engine.h"
#include "tests/jit/pair.h"

/* Whether places of other functions are in the export's code, compiled in advance. */
static bool has_inlined(const struct pair *p, const char *name) {
    const struct rt_func *f = func(p->instances[1], name);
    const struct rt_module *module = f->instance->module;
    const struct jit_module *jit = module->jit_data;
    return jit->codes[f->index - module->bc->n_imported_funcs].n_inlined > 0;
}

/* Whether calls in it became their functions' bodies: a place in one of these need not be in the code. */
static bool inlines(const struct pair *p, const char *name) {
    const struct rt_func *f = func(p->instances[1], name);
    const struct jit_module *jit = f->instance->module->jit_data;
    return jit->codes[f->index - f->instance->module->bc->n_imported_funcs].n_inlined_calls > 0;
}

static void a_trap_tells_the_functions_around_it(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (memory 1) (global $g (mut i32) (i32.const 0))"
              "(func $div (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))"
              "(func $load (param i32) (result i32) (i32.load (local.get 0)))"
              "(func $dead unreachable)"
              "(func $both (param i32 i32) (result i32)"
              "  (i32.add (call $load (local.get 0)) (call $div (local.get 0) (local.get 1))))"
              "(func (export \"plain\") (param i32 i32) (result i32)"
              "  (i32.sub (call $both (local.get 0) (local.get 1)) (i32.const 1)))"
              "(func (export \"loop\") (param i32 i32) (result i32) (local $sum i32)"
              "  (loop $l"
              "    (local.set $sum (i32.add (local.get $sum) (call $both (local.get 0) (local.get 1))))"
              "    (local.set $sum (i32.xor (i32.load (local.get 0)) (call $load (local.get 0))))"
              "    (local.set 0 (i32.add (local.get 0) (i32.const 4096)))"
              "    (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))"
              "  (local.get $sum))"
              "(func (export \"dead\") (param i32) (result i32)"
              "  (if (local.get 0) (then (call $dead) (global.set $g (i32.const 1)))) (i32.const 4)))",
              NULL);
    assert_true(has_inlined(&p, "plain") && has_inlined(&p, "loop") && has_inlined(&p, "dead"));
    same(&p, "plain", 8, 2);
    same(&p, "plain", 8, 0);
    same(&p, "plain", 0x80000000, UINT32_MAX);
    same(&p, "plain", 65533, 1);
    for (uint64_t rounds = 1; rounds < 20; rounds++) same(&p, "loop", 0, rounds);
    same(&p, "loop", 65533, 3);
    assert_int_equal(same(&p, "dead", 0, 0), 4);
    same(&p, "dead", 1, 0);
    close_pair(&p);
}

static void calls_out_of_inlined_functions_tell_where_they_stand(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (import \"m\" \"other\" (func $other (param i32) (result i32)))"
              "(type $t (func (param i32) (result i32))) (table 2 funcref) (elem (i32.const 0) $other)"
              "(func $far (param i32) (result i32) (i32.add (call $other (local.get 0)) (i32.const 1)))"
              "(func $through (param i32 i32) (result i32)"
              "  (call_indirect (type $t) (local.get 0) (local.get 1)))"
              "(func (export \"far\") (param i32) (result i32)"
              "  (i32.mul (call $far (local.get 0)) (call $far (i32.add (local.get 0) (i32.const 1)))))"
              "(func (export \"through\") (param i32 i32) (result i32)"
              "  (i32.add (call $through (local.get 0) (local.get 1)) (i32.const 9))))",
              "(module (func (export \"other\") (param i32) (result i32) (i32.div_u (i32.const 100) "
              "(local.get 0))))");
    assert_true(has_inlined(&p, "far") && has_inlined(&p, "through"));
    assert_int_equal(same(&p, "far", 4, 0), 26 * 21);
    same(&p, "far", 0, 0);
    same(&p, "far", UINT32_MAX, 0); /* the second of them */
    assert_int_equal(same(&p, "through", 5, 0), 29);
    same(&p, "through", 0, 0);
    same(&p, "through", 5, 1); /* null */
    same(&p, "through", 5, 2); /* outside of the table */
    close_pair(&p);
}

static void the_callers_handlers_catch_what_they_throw(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (tag $e (param i32)) (tag $other)"
        "(func $throw (param i32) (if (local.get 0) (then (throw $e (local.get 0)))))"
        "(func $calls (param i32) (call $throw (local.get 0)) (if (i32.eq (local.get 0) (i32.const 0))"
        "  (then (throw $other))))"
        "(func (export \"caught\") (param i32 i32) (result i32) (local i32)"
        "  (local.set 2 (i32.mul (local.get 1) (i32.const 3)))"
        "  (block $h (result i32) (try_table (catch $e $h)"
        "     (local.set 2 (i32.add (local.get 2) (i32.const 1))) (call $calls (local.get 0))"
        "     (local.set 2 (i32.const 77))) (i32.const 5))"
        "  (i32.add (local.get 2)))"
        "(func (export \"outside\") (param i32 i32) (result i32)"
        "  (call $throw (local.get 0))"
        "  (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get 1))) (i32.const 5))))",
        NULL);
    assert_true(has_inlined(&p, "caught") && has_inlined(&p, "outside"));
    for (uint64_t i = 0; i < 3; i++)
        for (uint64_t k = 0; k < 3; k++) {
            same(&p, "caught", i, k);
            same(&p, "outside", i, k);
        }
    close_pair(&p);
}

/* $inner handles some of what it throws, and what is thrown by whom it calls; the rest goes on to its callers' handlers. */
static void their_own_handlers_come_before_the_callers(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (tag $a (param i32)) (tag $b (param i32)) (tag $c)"
        "(func $throw (param i32 i32)"
        "  (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a (local.get 1))))"
        "  (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b (local.get 1))))"
        "  (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $c)))"
        "  (if (i32.eq (local.get 0) (i32.const 4)) (then unreachable)))"
        "(func $inner (param i32 i32) (result i32) (local i32)"
        "  (local.set 2 (i32.mul (local.get 1) (i32.const 7)))"
        "  (block $h (result i32) (try_table (catch $a $h)"
        "     (local.set 2 (i32.add (local.get 2) (i32.const 1))) (call $throw (local.get 0) (local.get 1))"
        "     (local.set 2 (i32.const 9))) (i32.const 40)) (i32.add (local.get 2)))"
        "(func $refs (param i32 i32) (result i32)"
        "  (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0) (local.get 1)))"
        "    (return (i32.const 6)))"
        "  (if (i32.eq (local.get 1) (i32.const 5)) (then (return (i32.const 8)))) throw_ref)"
        "(func $old (param i32 i32) (result i32)"
        "  (try (result i32) (do (try (do (call $throw (local.get 0) (local.get 1))) (delegate 0)) "
        "(i32.const 3))"
        "    (catch $b) (catch $a (if (i32.eq (local.get 1) (i32.const 6)) (then (rethrow 1))))))"
        "(func (export \"tables\") (param i32 i32) (result i32) (local i32) (loop (result i32)"
        "  (block $h (result i32) (try_table (catch $b $h) (local.set 2 (i32.const 100))"
        "     (local.set 2 (call $inner (local.get 0) (local.get 1)))"
        "     (local.set 2 (i32.add (local.get 2) (call $inner (local.get 0) (local.get 2))))) (i32.const 5))"
        "  (i32.add (local.get 2))))"
        "(func (export \"refs\") (param i32 i32) (result i32)"
        " (loop (result i32)  (block $h (result i32) (try_table (catch $a $h)"
        "     (return (call $refs (local.get 0) (local.get 1)))) (unreachable))))"
        "(func (export \"old\") (param i32 i32) (result i32)"
        " (loop (result i32)  (block $h (try_table (catch_all $h) (return (call $old (local.get 0) "
        "(local.get 1))))) (i32.const "
        "50)))"
        "(func (export \"loop\") (param i32 i32) (result i32) (local i32)"
        "  (loop $l (local.set 2 (i32.add (i32.mul (local.get 2) (i32.const 3))"
        "      (call $inner (i32.and (local.get 0) (i32.const 1)) (local.get 1))))"
        "    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 2)))",
        NULL);
    assert_true(inlines(&p, "tables") && inlines(&p, "refs") && inlines(&p, "old") && inlines(&p, "loop"));
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 5; i++)
            for (uint64_t k = 4; k < 8; k++) {
                same(&p, "tables", i, k);
                same(&p, "refs", i, k);
                same(&p, "old", i, k);
                same(&p, "loop", i + 1, k);
            }
    close_pair(&p);
}

/* Their frames are gone when the called function runs: no backtrace shows them, none of their handlers catches, and the
 * stack does not grow. */
static void tail_calls_return_to_the_caller_of_the_inlined_function(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (type $f (func (param i32 i32) (result i32)))"
        "(import \"\" \"other\" (func $other (type $f))) (tag $e (param i32))"
        "(table 5 5 funcref) (elem (i32.const 0) func $big $other $one) (elem declare func $big)"
        "(func $one (result i32) (i32.const 1))"
        "(func $big (type $f) (local i32)"
        "  (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $e (local.get 1))))"
        "  (loop $l (local.set 2 (i32.rem_u (i32.add (i32.mul (local.get 2) (i32.const 31)) (local.get 0))"
        "      (local.get 1)))"
        "    (local.set 2 (i32.xor (local.get 2) (i32.shl (local.get 2) (i32.const 3))))"
        "    (local.set 2 (i32.xor (local.get 2) (i32.shr_u (local.get 2) (i32.const 5))))"
        "    (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 50))))"
        "  (local.get 2))"
        "(func $direct (type $f) (return_call $big (i32.add (local.get 0) (i32.const 1)) (local.get 1)))"
        "(func $far (type $f) (return_call $other (i32.add (local.get 0) (i32.const 1)) (local.get 1)))"
        "(func $table (param i32 i32 i32) (result i32)"
        "  (return_call_indirect (type $f) (local.get 0) (local.get 1) (local.get 2)))"
        "(func $ref (type $f) (return_call_ref $f (local.get 0) (local.get 1)"
        "  (select (result (ref null $f)) (ref.func $big) (ref.null $f) (local.get 0))))"
        "(func $in_try (type $f)"
        "  (block $h (result i32) (try_table (catch $e $h)"
        "    (return_call $big (local.get 0) (local.get 1))) unreachable) (i32.const 1000) (i32.add))"
        "(func $chain (type $f) (return_call $direct (local.get 1) (local.get 0)))"
        "(func $down (type $f)"
        "  (if (i32.eqz (local.get 0)) (then (return (local.get 1))))"
        "  (return_call $up (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 1))))"
        "(func $up (type $f)"
        "  (if (i32.eqz (local.get 0)) (then (return (local.get 1))))"
        "  (return_call $down (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 2))))"
        "(func (export \"direct\") (type $f)  (loop (result i32)(i32.add (call $direct (local.get 0) "
        "(local.get 1)) (i32.const "
        "1))))"
        "(func (export \"far\") (type $f)  (loop (result i32)(i32.add (call $far (local.get 0) (local.get "
        "1)) (i32.const 1))))"
        "(func (export \"table\") (type $f)"
        " (loop (result i32)  (i32.add (call $table (i32.const 7) (local.get 1) (local.get 0)) (i32.const "
        "1))))"
        "(func (export \"ref\") (type $f)  (loop (result i32)(i32.add (call $ref (local.get 0) (local.get "
        "1)) (i32.const 1))))"
        "(func (export \"try\") (type $f)"
        " (loop (result i32)  (block $h (result i32) (try_table (catch $e $h)"
        "    (return (call $in_try (local.get 0) (local.get 1)))) unreachable) (i32.const 5) (i32.add)))"
        "(func (export \"uncaught\") (type $f)  (loop (result i32)(call $in_try (local.get 0) (local.get 1)) "
        "(i32.const 1) "
        "(i32.add)))"
        "(func (export \"chain\") (type $f)  (loop (result i32)(call $chain (local.get 0) (local.get 1)) "
        "(i32.const 1) "
        "(i32.add)))"
        "(func (export \"deep\") (type $f)  (loop (result i32)(call $down (local.get 0) (local.get 1)) "
        "(i32.const 1) "
        "(i32.add))))",
        "(module (func (export \"other\") (param i32 i32) (result i32)"
        " (i32.div_u (local.get 0) (local.get 1))))");
    static const char *const names[] = {"direct", "far", "table", "ref", "try", "uncaught", "chain", "deep"};
    enum { NAMES = sizeof names / sizeof *names };
    for (int i = 0; i < NAMES; i++) assert_true(inlines(&p, names[i]));
    for (int round = 0; round < 2; round++)
        for (uint64_t x = 0; x < 6; x++)
            for (uint64_t y = 0; y < 4; y++)
                for (int i = 0; i < NAMES; i++) same(&p, names[i], x, y);
    assert_int_equal(same(&p, "deep", 1000000, 0), 1500001);
    close_pair(&p);
}

static void branches_to_their_end_bring_their_results(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module"
              "(func $pick (param i32 i32) (result i32 i64)"
              "  (block (block (block (br_table 0 1 2 (local.get 0)))"
              "    (return (i32.const 10) (i64.const 20))) (br 1 (local.get 1) (i64.const 30)))"
              "  (local.set 1 (i32.add (local.get 1) (i32.const 1)))"
              "  (local.get 1) (i64.const 40))"
              "(func $sum (param i32) (result i32) (local i32)"
              "  (loop $l (local.set 1 (i32.add (local.get 1) (local.get 0)))"
              "    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))"
              "(func (export \"both\") (param i32 i32) (result i64) (local i64)"
              "  (loop $l (result i32) (call $pick (local.get 0) (local.get 1)) (local.set 2))"
              "  (i64.add (i64.extend_i32_u) (i64.mul (local.get 2) (i64.const 3)))"
              "  (i64.add (i64.extend_i32_u (local.get 1))))"
              "(func (export \"sums\") (param i32 i32) (result i32) (local i32)"
              "  (loop $l (local.set 2 (i32.add (local.get 2) (call $sum (local.get 0))))"
              "    (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))"
              "  (i32.add (local.get 0) (local.get 2))))",
              NULL);
    assert_true(has_inlined(&p, "both") && has_inlined(&p, "sums"));
    assert_int_equal(same(&p, "both", 0, 5), 10 + 60 + 5);
    assert_int_equal(same(&p, "both", 1, 5), 5 + 90 + 5);
    assert_int_equal(same(&p, "both", 2, 5), 6 + 120 + 5);
    assert_int_equal(same(&p, "sums", 4, 3), 4 + 30);
    close_pair(&p);
}

static void endless_recursion_ends_with_a_trap(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module"
        "(func $self (export \"self\") (param i32) (result i32)"
        "  (i32.add (call $self (local.get 0)) (i32.const 1)))"
        "(func $a (export \"a\") (param i32) (result i32) (i32.add (call $b (local.get 0)) (i32.const 1)))"
        "(func $b (param i32) (result i32) (i32.add (call $c (local.get 0)) (i32.const 1)))"
        "(func $c (param i32) (result i32) (i32.add (call $a (local.get 0)) (i32.const 1))))",
        NULL);
    assert_true(has_inlined(&p, "self") && has_inlined(&p, "a"));
    for (int i = 0; i < TIERS; i++) {
        for (int k = 0; k < 3; k++) {
            assert_traps(&p.worlds[i], p.instances[i], "self", 1, 0, 0, RT_TRAP_STACK_EXHAUSTED);
            assert_traps(&p.worlds[i], p.instances[i], "a", 1, 0, 0, RT_TRAP_STACK_EXHAUSTED);
        }
    }
    close_pair(&p);
}

/* 200 calls of what is small enough; the caller grows by its own size at most. */
static void a_caller_grows_by_no_more_than_its_size(void **state) {
    static char text[1 << 16];
    struct world w;
    size_t n = 0;
    (void)state;
    n += (size_t)sprintf(
        text + n, "(module (func $f (param i32) (result i32)"
                  " (i32.xor (i32.mul (local.get 0) (i32.const 77)) (i32.shr_u (local.get 0) (i32.const 3))))"
                  " (func (export \"f\") (param i32) (result i32)");
    for (int i = 0; i < 200; i++) n += (size_t)sprintf(text + n, "(local.set 0 (call $f (local.get 0)))");
    sprintf(text + n, "(local.get 0)))");
    open_world(&w, &(struct rt_config){.tier = &jit_tier, .keep_code = true}, NULL);
    const struct rt_module *module = start(&w, text, NULL)->module;
    const struct jit_code *code = ((struct jit_module *)module->jit_data)->codes + 1;
    uint32_t n_calls = 0;
    for (uint32_t i = 0; i < code->n_relocs; i++) n_calls += code->relocs[i].kind == JIT_RELOC_FUNC;
    assert_in_range(200 - n_calls, 1, module->bc->funcs[1].body.size / module->bc->funcs[0].body.size);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trap_tells_the_functions_around_it),
        cmocka_unit_test(calls_out_of_inlined_functions_tell_where_they_stand),
        cmocka_unit_test(the_callers_handlers_catch_what_they_throw),
        cmocka_unit_test(their_own_handlers_come_before_the_callers),
        cmocka_unit_test(tail_calls_return_to_the_caller_of_the_inlined_function),
        cmocka_unit_test(branches_to_their_end_bring_their_results),
        cmocka_unit_test(endless_recursion_ends_with_a_trap),
        cmocka_unit_test(a_caller_grows_by_no_more_than_its_size),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
