/* tests/jit/turns_test.c: how often the turns of a loop jump; and that nobody sees where its code stands. */
#include "tests/jit/pair.h"

/* ---- what is made ---- */

struct shown {
    char text[1 << 16];
};
static bool wants(void *context, const struct rt_module *module, uint32_t func) {
    (void)context, (void)module;
    return func == 0;
}
static void show(void *context, const struct rt_module *module, uint32_t func, uint32_t loop,
                 const char *text, size_t n_bytes) {
    struct shown *s = context;
    (void)module, (void)func;
    assert_true(n_bytes < sizeof s->text);
    if (loop != BC_NONE) return;
    memcpy(s->text, text, n_bytes);
    s->text[n_bytes] = 0;
}

struct jumps { /* in a function's code; without a condition */
    unsigned back, on;
};

/* In the code of function 0. */
static struct jumps jumps_of(const char *text) {
    static struct shown s;
    struct world w;
    struct rt_code_viewer viewer = {
        .stages = 1u << JIT_STAGE_CODE, .context = &s, .wants = wants, .show = show};
    struct jumps n = {0};
    s.text[0] = 0;
    open_world(&w, &(struct rt_config){.tier = &jit_tier, .viewer = &viewer}, NULL);
    start(&w, text, NULL);
    close_world(&w);
    assert_non_null(strstr(s.text, " ret"));
    for (char *line = strtok(s.text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned from;
        uint64_t to;
        char *jump = strstr(line, " jmp 0x");
        if (!jump || sscanf(line, " %x", &from) != 1 || sscanf(jump, " jmp 0x%" SCNx64, &to) != 1) continue;
        (*(to <= from ? &n.back : &n.on))++;
    }
    return n;
}

static void runs_alike(const char *text) {
    struct pair p;
    open_pair(&p, text, NULL);
    assert_true(compiled(&p, "f"));
    for (uint64_t n = 0; n < 9; n++)
        for (uint64_t a = 0; a < 5; a++) same(&p, "f", n, a == 4 ? 0xFFFFFFF0 : a * 3);
    close_pair(&p);
}

/* ---- programs ---- */

#define MODULE(body)                                                                                         \
    "(module (memory 1) (tag $e (param i32)) (global $g (mut i32) (i32.const 3))"                            \
    " (func (export \"f\") (param $n i32) (param $a i32) (result i32)"                                       \
    "  (local $i i32) (local $k i32) (local $sum i32) " body " (i32.add (local.get $sum) (local.get $i)))"   \
    " (func $work (param i32) (result i32) (global.set $g (i32.add (global.get $g) (local.get 0)))"          \
    "  (if (local.get 0) (then (return (call $work (i32.shr_u (local.get 0) (i32.const 1))))))"              \
    "  (i32.xor (global.get $g) (i32.const 5))))"
#define ADD(value) "(local.set $sum (i32.add (i32.rotl (local.get $sum) (i32.const 3)) " value "))"
#define NEXT(i)    "(local.set " i " (i32.add (local.get " i ") (i32.const 1)))"
#define LESS(i)    "(i32.lt_u (local.get " i ") (local.get $n))"
#define WORK(i)    "(call $work (local.get " i "))"

/* Loops that are left at their start, or in the middle. */
static const char *const loops[] = {
    /* while: by a branch out */
    MODULE("(block $out (loop $l (br_if $out (i32.eqz " LESS("$i") ")) " ADD("(local.get $i)")
               NEXT("$i") " (br $l)))"),
    /* while: by an if around all */
    MODULE("(loop $l (if " LESS("$i") " (then " ADD("(local.get $i)") NEXT("$i") " (br $l))))"),
    /* the same with blocks in front of the test, and turns that end early */
    MODULE("(block $out (loop $l (block (block (br_if $out (i32.eqz " LESS("$i") "))" NEXT(
        "$i") " (br_if $l (i32.and"
              " (local.get $i) (i32.const 1))) " ADD("(local.get $i)") " (br_if 0 (i32.gt_u (local.get $sum)"
                                                                       " (i32.const 1000))) (br $l)) " ADD(
                                                                           "(local.get $k)") ") (br $l)))"),
    /* the test sets what the body wants, and traps */
    MODULE("(block $out (loop $l (br_if $out (i32.ge_u (local.tee $k (i32.div_u (i32.const 100)"
           " (i32.sub (i32.const 7) (local.get $i)))) (local.get $a))) " ADD("(local.get $k)")
               NEXT("$i") " (br $l)))"),
    MODULE("(loop $l (if (i32.load (i32.sub (local.get $i) (local.get $n))) (then " ADD("(local.get $k)")
               NEXT("$i") " (br $l))))"),
    /* it is known at first, or always */
    MODULE("(block $out (loop $l (br_if $out (i32.ge_u (local.get $i) (i32.const 5))) " ADD("(local.get $a)")
               NEXT("$i") " (br $l)))"),
    MODULE("(block $out (loop $l (br_if $out (i32.eqz (local.get $k))) " ADD("(local.get $a)")
               NEXT("$i") " (br $l)))"),
    MODULE("(loop $l (if (i32.const 0) (then " ADD("(local.get $a)") NEXT("$i") " (br $l))))"),
    /* operands wait around it; it has a result; the function is left */
    MODULE("(local.set $sum (i32.sub (i32.mul (local.get $a) (local.get $a)) (block $out (result i32) (drop "
           "(loop $l"
           " (result i32) (block (br_if 0 (i32.and (local.get $i) (i32.const 4))) " NEXT(
               "$i") " (br $l))"
                     " (i32.const 2))) (i32.add (local.get $i) (local.get $n)))))"),
    MODULE("(block $out (loop $l (br_if $out (i32.eqz " LESS("$i") "))" NEXT(
        "$i") " (br_if $l (i32.and (local.get $i)"
              " (i32.const 2))) (br_if $out (i32.eq (local.get $i) (local.get $a)))" ADD(
                  "(local.get $i)") "(br $l)))"),
    /* its condition calls */
    MODULE("(block $out (loop $l (br_if $out (i32.ge_u (i32.and (call $work (local.get $i)) (i32.const 15))"
           " (i32.const 9))) (br_if $out (i32.eqz " LESS("$i") "))" ADD("(local.get $i)")
               NEXT("$i") " (br $l)))"),
    /* left in the middle, */
    MODULE("(block $out (loop $l " ADD(WORK("$i")) " (br_if $out (i32.eqz " LESS("$i") ")) " ADD(
        "(local.get $i)") NEXT("$i") " (br $l)))"),
    /* by a return, a trap */
    MODULE("(loop $l " ADD("(local.get $i)") " (if (i32.eqz " LESS(
        "$i") ") (then (return (local.get $sum)))) " ADD(WORK("$i")) NEXT("$i") " (br $l))"),
    MODULE("(loop $l (if (i32.gt_u (local.get $i) (i32.const 5)) (then (unreachable)))"
           " (if " LESS("$i") " (then " ADD(WORK("$i")) NEXT("$i") " (br $l))))"),
    /* one in the other */
    MODULE("(block $out (loop $l (br_if $out (i32.eqz " LESS(
        "$i") ")) (local.set $k (i32.const 0))"
              " (block $done (loop $m (br_if $done (i32.eqz " LESS("$k") ")) " ADD(WORK("$k"))
                  NEXT("$k") " (br $m)))" NEXT("$i") " (br $l)))"),
    /* left by an exception */
    MODULE("(block $out (result i32) (try_table (catch $e $out) (loop $l (if (i32.eqz " LESS(
        "$i") ")"
              " (then (throw $e (local.get $k)))) " ADD(WORK("$i"))
                  NEXT("$i") " (br $l))) (unreachable)) (local.set $k)"),
};
#define N_LOOPS (sizeof loops / sizeof *loops)

/* ---- what is expected ---- */

static void no_turn_ends_with_a_jump(void **state) {
    (void)state;
    for (size_t i = 0; i < N_LOOPS; i++) {
        struct jumps n = jumps_of(loops[i]);
        if (n.back) fail_msg("loop %zu: %u jumps back", i, n.back);
    }
}

static void what_leaves_a_loop_stands_behind_it(void **state) {
    (void)state;
    /* the ways to "not found" have moves, and stood in front of the next look */
    struct jumps n = jumps_of(MODULE(
        "(block $out (loop $l " ADD("(i32.const 3)") "(local.set $i (i32.add (local.get $i) (i32.const 2)))"
                                                     " (if (i32.eq (local.get $sum) (local.get $a)) (then "
                                                     "(local.set $sum (i32.const 7)) (br $out)))"
                                                     " (if (i32.eq (local.get $sum) (i32.const 77)) (then "
                                                     "(local.set $sum (i32.const 8)) (br $out)))"
                                                     " (br_if $l " LESS("$i") ")))"));
    assert_int_equal(n.back, 0);
    assert_true(n.on <= 2);
}

static void loops_run_alike(void **state) {
    (void)state;
    for (size_t i = 0; i < N_LOOPS; i++) runs_alike(loops[i]);
}

/* Whatever fuel there is, the program ends at the same place. */
static void fuel_ends_loops_where_it_ended_them(void **state) {
    static const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};
    (void)state;
    for (size_t k = 0; k < N_LOOPS; k++) {
        struct world w[TIERS];
        struct rt_instance *instances[TIERS];
        for (int i = 0; i < TIERS; i++) {
            open_world(&w[i], &(struct rt_config){.tier = tiers[i], .fuel = true}, NULL);
            instances[i] = start(&w[i], loops[k], NULL);
        }
        for (int64_t fuel = 0; fuel < 150; fuel += 1 + fuel / 16) {
            enum atoll_status status[TIERS];
            for (int i = 0; i < TIERS; i++) {
                w[i].store->fuel = fuel;
                status[i] = try_call(&w[i], instances[i], "f", 5, 3, 0, NULL);
                assert_int_equal(status[i], status[0]);
                assert_int_equal(w[i].store->fuel, w[0].store->fuel);
                if (!status[0]) continue;
                assert_int_equal(w[i].store->trap, w[0].store->trap);
                same_frames(w[0].store, w[i].store);
            }
        }
        for (int i = 0; i < TIERS; i++) close_world(&w[i]);
    }
}

/* The way back to the outer loop's start is in front of code of the inner one: what is wanted behind both lives there,
 * too. */
static void a_turn_begins_in_the_middle_of_an_inner_one(void **state) {
    (void)state;
    runs_alike(MODULE(
        "(local $p i32) (local $q i32) (local.set $p (i32.mul (local.get $a) (i32.const 77)))"
        " (local.set $q (i32.xor (local.get $a) (i32.const 99)))"
        " (block $out (loop $l (br_if $out (i32.eqz " LESS(
            "$i") "))"
                  "  (local.set $k (i32.and (local.get $i) (i32.const 7)))"
                  "  (loop $m (if (i32.eqz (local.get $k)) (then " NEXT("$i") " (br $l)))" ADD(
                      "(i32.mul (i32.add (i32.rotl (local.get $sum) (local.get $k)) (i32.rotl (local.get $k)"
                      " (local.get $sum))) (i32.add (i32.mul (local.get $sum) (local.get $sum))"
                      " (i32.mul (i32.shl (local.get $k) (i32.const 9)) (i32.sub (local.get $k) (local.get "
                      "$sum)))))") "   (local.set $k (i32.sub (local.get $k) (i32.const 1))) (br $m))))"
                                   " (local.set $sum (i32.add (local.get $sum) (i32.mul (local.get $p) "
                                   "(local.get $q))))"));
}

/* Loops in loops, each left at its start: only so many are looked at, and all run. */
static void many_loops_stand_in_each_other(void **state) {
    enum { DEPTH = 200 };
    static char text[1 << 16];
    size_t n = 0;
    (void)state;
#define PUT(...) n += (size_t)snprintf(text + n, sizeof text - n, __VA_ARGS__)
    PUT("(module (func (export \"f\") (param $n i32) (param $a i32) (result i32) (local $sum i32)");
    for (int i = 0; i < DEPTH; i++) PUT("(local $%d i32)", i);
    for (int i = 0; i < DEPTH; i++)
        PUT("(local.set $%d (i32.const 0)) (block $out%d (loop $l%d (br_if $out%d (i32.ge_u (local.get $%d) "
            "(i32.const %d)))",
            i, i, i, i, i, i % 40 ? 1 : 2);
    PUT(ADD("(local.get $n)"));
    for (int i = DEPTH; i-- > 0;)
        PUT("(local.set $%d (i32.add (local.get $%d) (i32.const 1))) (br $l%d)))", i, i, i);
    PUT("(local.get $sum)))");
#undef PUT
    assert_true(n < sizeof text);
    runs_alike(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_turn_ends_with_a_jump),
        cmocka_unit_test(what_leaves_a_loop_stands_behind_it),
        cmocka_unit_test(loops_run_alike),
        cmocka_unit_test(fuel_ends_loops_where_it_ended_them),
        cmocka_unit_test(a_turn_begins_in_the_middle_of_an_inner_one),
        cmocka_unit_test(many_loops_stand_in_each_other),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
