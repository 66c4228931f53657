/* tests/jit/fuel_test.c: compiled code takes fuel where the interpreter does: whatever there is of it, programs end at the
 * same place with the same rest. */
#include "tests/jit/pair.h"

static const char program[] =
    "(module (memory 1) (tag $e (param i64)) (global $g (mut i64) (i64.const 0))"
    "(func $leaf (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))"
    "(func $folded (param i64) (result i64)" /* branches that are decided before it runs */
    " (block $b (br_if $b (i32.const 1)) (local.set 0 (i64.const 4))) (block $c (br_if $c (i32.const 0)))"
    " (if (i32.const 0) (then unreachable) (else (local.set 0 (i64.add (local.get 0) (i64.const 2)))))"
    " (loop $l (br_if $l (i32.const 0))) (local.get 0))"
    "(func $table (param i32) (result i64) (block $2 (block $1 (block $0 (br_table $0 $1 $2 (local.get 0)))"
    "  (return (i64.const 5))) (global.set $g (i64.const 3))) (i64.const 6))"
    "(func $throws (param i64) (if (i64.eq (i64.and (local.get 0) (i64.const 3)) (i64.const 3))"
    "  (then (throw $e (local.get 0)))))"
    "(func $catches (param i64) (result i64)"
    " (block $h (result i64) (try_table (catch $e $h) (call $throws (local.get 0))) (i64.const 1)))"
    "(func $tail (param i64) (result i64)"
    " (if (i64.gt_s (local.get 0) (i64.const 0)) (then (return_call $tail (i64.sub (local.get 0) (i64.const "
    "5)))))"
    " (local.get 0))"
    "(func (export \"f\") (param $n i64) (param $x i64) (result i64) (local $sum i64)"
    " (loop $l"
    "  (local.set $sum (i64.add (local.get $sum) (call $leaf (local.get $n))))"
    "  (if (i64.eqz (i64.and (local.get $n) (i64.const 1)))"
    "   (then (local.set $sum (i64.xor (local.get $sum) (call $folded (local.get $n)))))"
    "   (else (i64.store (i32.wrap_i64 (local.get $n)) (call $table (i32.wrap_i64 (local.get $n))))))"
    "  (local.set $sum (i64.add (local.get $sum) (call $catches (local.get $n))))"
    "  (local.set $sum (i64.add (local.get $sum) (call $tail (local.get $n))))"
    "  (local.set $sum (i64.add (local.get $sum) (i64.div_u (i64.const 100) (i64.sub (local.get $n) "
    "(local.get $x)))))"
    "  (br_if $l (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))"
    " (local.get $sum)))";

struct worlds {
    struct world worlds[TIERS];
    struct rt_instance *instances[TIERS];
};

/* Returns what was taken; the same in all tiers, as the result, the trap and its frames are. */
static int64_t run(struct worlds *w, int64_t fuel, uint64_t n, uint64_t x) {
    uint64_t results[TIERS] = {0};
    enum atoll_status status[TIERS];
    for (int i = 0; i < TIERS; i++) {
        w->worlds[i].store->fuel = fuel;
        status[i] = try_call(&w->worlds[i], w->instances[i], "f", n, x, 0, &results[i]);
    }
    for (int i = 1; i < TIERS; i++) {
        assert_int_equal(status[i], status[0]);
        assert_int_equal(w->worlds[i].store->fuel, w->worlds[0].store->fuel);
        if (!status[0]) assert_int_equal(results[i], results[0]);
        if (!status[0]) continue;
        assert_int_equal(w->worlds[i].store->trap, w->worlds[0].store->trap);
        same_frames(w->worlds[0].store, w->worlds[i].store);
    }
    return fuel - w->worlds[0].store->fuel;
}

static void fuel_ends_at_the_same_place(void **state) {
    const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};
    struct worlds w;
    (void)state;
    for (int i = 0; i < TIERS; i++) {
        open_world(&w.worlds[i], &(struct rt_config){.tier = tiers[i], .fuel = true}, NULL);
        w.instances[i] = start(&w.worlds[i], program, NULL);
    }
    struct jit_stats stats;
    jit_module_stats(w.instances[1]->module, &stats);
    assert_int_equal(stats.n_declined, 0);
    int64_t all = run(&w, 100000, 12, 20), trapping = run(&w, 100000, 12, 3);
    assert_in_range(trapping, 100, all - 1);
    for (int64_t fuel = 0; fuel <= all + 1; fuel++) run(&w, fuel, 12, 20);
    for (int64_t fuel = 0; fuel <= trapping + 1; fuel++) run(&w, fuel, 12, 3);
    for (int i = 0; i < TIERS; i++) close_world(&w.worlds[i]);
}

/* Stores of one program take it from what they have in common. */
static void more_fuel_is_taken_from_the_programs(void **state) {
    const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};
    int64_t left[TIERS];
    (void)state;
    for (int i = 0; i < TIERS; i++) {
        struct world w;
        open_world(&w, &(struct rt_config){.tier = tiers[i], .fuel = true}, NULL);
        struct rt_instance *a = start(&w, program, NULL);
        w.store->fuel = 10;
        w.store->budget->fuel = 5000000;
        for (int k = 0; k < 3; k++) call(&w, a, "f", 100, 200);
        left[i] = w.store->fuel + w.store->budget->fuel;
        w.store->fuel = 10;
        w.store->budget->fuel = 50;
        assert_traps(&w, a, "f", 100, 200, 0, RT_TRAP_OUT_OF_FUEL);
        close_world(&w);
    }
    assert_in_range(left[0], 4000000, 5000000);
    assert_true(left[0] == left[1] && left[0] == left[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fuel_ends_at_the_same_place),
        cmocka_unit_test(more_fuel_is_taken_from_the_programs),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
