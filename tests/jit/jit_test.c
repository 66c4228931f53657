/* tests/jit/jit_test.c: compiled code beside the interpreter: the same results, the same traps in the same
 * frames. */
#include "tests/jit/declined.h"
#include "tests/jit/pair.h"

#include <pthread.h>
#include <unistd.h>

static void traps_tell_the_same_frames(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (memory 1) (table 4 funcref) (type $v (func))"
        "(elem (i32.const 1) $div) "
        "(func $div (export \"div\") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))"
        "(func $load (export \"load\") (param i32) (result i32) (i32.load offset=65530 (local.get 0)))"
        "(func $add (export \"folded\") (param i32 i32) (result i32)"
        "  (i32.add (local.get 1) (i32.load (i32.shl (local.get 0) (i32.const 16)))))"
        "(func $deep (export \"deep\") (param i32 i32) (result i32)"
        "  (if (result i32) (local.get 0)"
        "    (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))"
        "    (else (call $div (i32.const 1) (local.get 1)))))"
        "(func (export \"indirect\") (param i32) (call_indirect (type $v) (local.get 0)))"
        "(func (export \"trunc\") (param i32) (result i32)"
        "  (i32.trunc_f64_s (f64.mul (f64.convert_i32_s (local.get 0)) (f64.const 1e9))))"
        "(func (export \"endless\") (param i32) (result i32) (call $endless2 (local.get 0)))"
        "(func $endless2 (param i32) (result i32) (i32.add (call $endless2 (local.get 0)) (i32.const 1)))"
        "(func (export \"store\") (param i32) (i64.store8 (local.get 0) (i64.const 1))))",
        NULL);
    for (uint64_t i = 0; i < 4; i++) {
        same(&p, "div", 7, i);
        same(&p, "div", 0x80000000u, 0xFFFFFFFFu - i);
        same(&p, "load", i * 3, 0);
        same(&p, "folded", i, 5);
        same(&p, "deep", i * 40, i & 1);
        same(&p, "indirect", i, 0);
        same(&p, "trunc", i, 0);
        same(&p, "store", 65534 + i, 0);
    }
    for (int i = 0; i < TIERS; i++)
        assert_traps(&p.worlds[i], p.instances[i], "endless", 0, 0, 0, RT_TRAP_STACK_EXHAUSTED);
    close_pair(&p);
}

/* More values than registers, which change places in a loop. */
static void values_that_find_no_register_keep_their_place(void **state) {
    enum { N = 40 };
    static char text[1 << 16];
    size_t n = 0;
    struct pair p;
    (void)state;
#define ADD(...) (n += (size_t)snprintf(text + n, sizeof text - n, __VA_ARGS__))
    ADD("(module (func $id (param i64) (result i64) (local.get 0))");
    ADD("(func (export \"turn\") (param i64 i64) (result i64)");
    for (int i = 0; i < N; i++) ADD("(local i64)");
    for (int i = 0; i < N; i++)
        ADD("(local.set %d (i64.mul (local.get 0) (i64.const %d)))", i + 2, 2 * i + 3);
    ADD("(loop ");
    for (int i = 0; i < N; i++) ADD("(local.get %d)", 2 + (i + 1) % N);
    for (int i = N; i-- > 0;) ADD("(local.set %d)", i + 2);
    ADD("(local.set 5 (call $id (i64.xor (local.get 5) (local.get 17))))");
    ADD("(br_if 0 (i64.ne (i64.const 0) (local.tee 1 (i64.sub (local.get 1) (i64.const 1))))))");
    ADD("(i64.const 0)");
    for (int i = 0; i < N; i++) ADD("(i64.rotl (local.get %d) (i64.const 5)) i64.add", i + 2);
    ADD(")"
        "(func (export \"floats\") (param i64 i64) (result i64) (local $a f64) (local $b f64) (local $c f32) "
        "(local $v v128)"
        " (local.set $a (f64.convert_i64_u (local.get 0))) (local.set $b (f64.const 3))"
        " (local.set $v (i64x2.splat (local.get 0)))"
        " (loop (local.get $a) (local.get $b) (local.set $a) (local.set $b)"
        "  (local.set $v (i32x4.add (local.get $v) (i8x16.shuffle 4 5 6 7 0 1 2 3 28 29 30 31 8 9 10 11 "
        "(local.get $v) (local.get $v))))"
        "  (drop (call $id (i64.const 1))) (local.set $c (f32.demote_f64 (local.get $a)))"
        "  (br_if 0 (i64.ne (i64.const 0) (local.tee 1 (i64.sub (local.get 1) (i64.const 1))))))"
        " (i64.xor (i64.reinterpret_f64 (f64.sub (local.get $a) (f64.promote_f32 (local.get $c))))"
        "  (i64x2.extract_lane 1 (local.get $v)))))");
#undef ADD
    open_pair(&p, text, NULL);
    assert_true(compiled(&p, "turn") && compiled(&p, "floats"));
    for (uint64_t i = 1; i < 90; i += 7) {
        same(&p, "turn", UINT64_C(0x123456789ABCDEF) * i, i);
        same(&p, "floats", UINT64_C(0xFEDCBA987654321) * i, i);
    }
    close_pair(&p);
}

static void calls_reach_other_instances_and_come_back(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"peek\" (func $peek (param i32) (result i32)))"
        "(import \"\" \"table\" (table $t 3 funcref)) (memory 1) (type $f (func (param i32) (result i32)))"
        "(data (i32.const 8) \"\\09\")"
        "(func $own (param i32) (result i32) (i32.load8_u (local.get 0)))"
        "(func (export \"both\") (param i32) (result i32)"
        "  (i32.add (call $peek (local.get 0)) (i32.mul (i32.const 100) (call $own (local.get 0)))))"
        "(func (export \"by_table\") (param i32) (result i32)"
        "  (i32.add (call_indirect $t (type $f) (local.get 0) (i32.const 1)) (i32.load8_u (local.get 0))))"
        "(func $tail (param i32) (result i32) (return_call $peek (local.get 0)))"
        "(func (export \"after_tail\") (param i32) (result i32)"
        "  (i32.add (call $tail (local.get 0)) (i32.mul (i32.const 100) (i32.load8_u (local.get 0)))))"
        "(func (export \"trap_there\") (param i32) (result i32) (i32.add (call $tail (i32.const -1)) "
        "(i32.const 1))))",
        "(module (memory 1) (data (i32.const 8) \"\\05\") (table (export \"table\") 3 funcref) (elem "
        "(i32.const 1) $peek)"
        "(func $peek (export \"peek\") (param i32) (result i32) (i32.load8_u (local.get 0))))");
    assert_int_equal(same(&p, "both", 8, 0), 905);
    assert_int_equal(same(&p, "by_table", 8, 0), 14);
    assert_int_equal(same(&p, "after_tail", 8, 0), 905);
    same(&p, "both", 70000, 0);
    same(&p, "trap_there", 0, 0);
    close_pair(&p);
}

static void exceptions_pass_through_compiled_frames(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (tag $e (param i32))"
        "(func $throw (param i32) (if (local.get 0) (then (throw $e (local.get 0)))))"
        "(func $plain (export \"plain\") (param i32) (result i32) (call $throw (local.get 0)) (i32.const 7))"
        "(func $catch (export \"catch\") (param i32) (result i32)"
        "  (block $h (result i32) (try_table (catch $e $h) (call $plain (local.get 0)) return) unreachable))"
        "(func (export \"outer\") (param i32) (result i32) (i32.add (i32.const 1000) (call $catch (local.get "
        "0)))))",
        NULL);
    assert_true(compiled(&p, "plain") && compiled(&p, "outer") && compiled(&p, "catch"));
    assert_int_equal(same(&p, "outer", 0, 0), 1007);
    assert_int_equal(same(&p, "outer", 42, 0), 1042);
    same(&p, "plain", 3, 0);
    close_pair(&p);
}

static void deep_recursion_and_endless_tail_calls_have_room(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (func $down (export \"down\") (param i64 i64) (result i64)"
        "  (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))"
        "   (else (i64.add (i64.const 1) (call $down (i64.sub (local.get 0) (i64.const 1)) (local.get 1))))))"
        "(func $even (export \"even\") (param i64 i64) (result i64)"
        "  (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))"
        "   (else (return_call $odd (i64.sub (local.get 0) (i64.const 1)) (local.get 1)))))"
        "(func $odd (param i64 i64) (result i64)"
        "  (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0))"
        "   (else (return_call $even (i64.sub (local.get 0) (i64.const 1)) (local.get 1))))))",
        NULL);
    assert_int_equal(same(&p, "down", 20000, 5), 20005);
    assert_int_equal(same(&p, "even", 1000001, 0), 0);
    close_pair(&p);
}

static atomic_bool watching, finished;

static void look_at_maps(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512], access[8];
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %7s", access) == 1 && strchr(access, 'w') && strchr(access, 'x'))
            fail_msg("%s", line);
    fclose(f);
}

static void *watch(void *none) {
    (void)none;
    atomic_store(&watching, true);
    while (!atomic_load(&finished)) look_at_maps();
    return NULL;
}

static void no_page_is_writable_and_executable(void **state) {
    pthread_t thread;
    struct world w;
    (void)state;
    struct rt_config config = {.tier = &jit_tier};
    open_world(&w, &config, NULL);
    assert_int_equal(pthread_create(&thread, NULL, watch, NULL), 0);
    while (!atomic_load(&watching)) continue;
    for (int i = 0; i < 200; i++) {
        struct rt_instance *a = start(
            &w,
            "(module (func (export \"f\") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1))))",
            NULL);
        assert_int_equal(call(&w, a, "f", 41, 0), 42);
    }
    atomic_store(&finished, true);
    pthread_join(thread, NULL);
    close_world(&w);
}

/* Code of modules that are gone makes room: a thousandfold of it would not fit the engine's code memory. */
static void code_memory_is_used_again(void **state) {
    enum { FUNCS = 400, ROUNDS = 60 };
    static char text[FUNCS * 80 + 64];
    size_t n = 0;
    (void)state;
    struct rt_config config = {.tier = &jit_tier};
    struct rt_engine *engine;
    struct atoll_error err;
    n += (size_t)snprintf(text, sizeof text, "(module (func (export \"f\") (result i32) (i32.const 3))");
    for (int i = 0; i < FUNCS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const %d)))", i);
    snprintf(text + n, sizeof text - n, ")");
    assert_int_equal(rt_engine_new(&config, &engine, &err), ATOLL_OK);
    uintptr_t lowest = UINTPTR_MAX, highest = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct world w = {.engine = engine};
        assert_int_equal(rt_store_new(engine, NULL, &w.store, &err), ATOLL_OK);
        struct rt_instance *a = start(&w, text, NULL);
        assert_int_equal(call(&w, a, "f", 0, 0), 3);
        uintptr_t at = (uintptr_t)func(a, "f")->jit_code;
        if (at < lowest) lowest = at;
        if (at > highest) highest = at;
        rt_store_free(w.store);
    }
    assert_true(highest - lowest < (1 << 20));
    rt_engine_unref(engine);
}

/* A long function in which more values live than there are registers, each used thousands of times. */
static char *crowded_function(void) {
    enum { LOCALS = 30, STEPS = 20000 };
    size_t room = 200 * LOCALS + 140 * STEPS, n = 0;
    char *text = malloc(room);
    assert_non_null(text);
#define ADD(...) (n += (size_t)snprintf(text + n, room - n, __VA_ARGS__))
    ADD("(module (memory 1) (func (export \"f\") (param i64 i64) (result i64)");
    for (int i = 0; i < LOCALS; i++) ADD("(local i64)");
    for (int i = 0; i < LOCALS; i++)
        ADD("(local.set %d (i64.add (local.get 0) (i64.const %d)))", i + 2, 3 * i + 1);
    for (int i = 0; i < STEPS; i++)
        ADD("(local.set %d (i64.add (local.get %d) (i64.mul (local.get %d) (local.get 2))))",
            3 + i % (LOCALS - 1), 3 + i * 7 % (LOCALS - 1), 3 + i * 5 % (LOCALS - 1));
    ADD("(local.get 1)");
    for (int i = 0; i < LOCALS; i++) ADD("(i64.xor (local.get %d))", i + 2);
    ADD("))");
#undef ADD
    return text;
}

static void a_crowded_function_is_compiled(void **state) {
    struct pair p;
    char *text = crowded_function();
    (void)state;
    open_pair(&p, text, NULL);
    assert_true(compiled(&p, "f"));
    same(&p, "f", 5, 7);
    same(&p, "f", UINT64_C(0x123456789), 1);
    close_pair(&p);
    free(text);
}

/* More values change places at the end of the loop than a quadratic compiler has time for: chains and cycles of them. */
static void a_loop_passes_thousands_of_values_on(void **state) {
    enum { LOCALS = 8000, ROOM = 160 * LOCALS };
    struct pair p;
    char *text = malloc(ROOM);
    size_t n = 0;
    (void)state;
    assert_non_null(text);
#define ADD(...) (n += (size_t)snprintf(text + n, ROOM - n, __VA_ARGS__))
    ADD("(module (memory 2) (func (export \"f\") (param i32 i32) (result i64) (local");
    for (int i = 0; i < LOCALS; i++) ADD(" i64");
    ADD(")");
    for (int i = 2; i < LOCALS + 2; i++)
        ADD("(local.set %d (i64.add (i64.load (i32.const %d)) (i64.const %d)))", i, 8 * i, i);
    ADD("(loop $l");
    for (int i = 2; i < LOCALS + 2; i++) ADD(" local.get %d", i);
    /* the first half in one cycle, then pairs */
    for (int i = LOCALS + 1; i >= 2; i--)
        ADD(" local.set %d", i < LOCALS / 2 ? i + 1 : i == LOCALS / 2 ? 2 : (i ^ 1) < LOCALS + 2 ? i ^ 1 : i);
    ADD("(br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))(i64.const 0)");
    for (int i = 2; i < LOCALS + 2; i++)
        ADD("(i64.xor (i64.mul (local.get %d) (i64.const %d)))", i, 2 * i + 1);
    ADD("))");
#undef ADD
    open_pair(&p, text, NULL);
    assert_true(compiled(&p, "f"));
    same(&p, "f", 1, 0);
    same(&p, "f", 7, 0);
    close_pair(&p);
    free(text);
}

/* Ten megabytes of instructions that all depend on each other. */
static void an_enormous_function_runs(void **state) {
    enum { TIMES = 420000, ROOM = 90 * TIMES };
    struct pair p;
    char *text = malloc(ROOM);
    size_t n = 0;
    (void)state;
    assert_non_null(text);
#define ADD(...) (n += (size_t)snprintf(text + n, ROOM - n, __VA_ARGS__))
    ADD("(module (func (export \"f\") (param i64 i64) (result i64) (local v128) local.get 0 i64x2.splat "
        "local.set 2\n");
    for (int i = 0; i < TIMES; i++)
        ADD("v128.const i64x2 %d 7 local.get 2 i64x2.sub local.set 2\n", 977 * i + 1);
    ADD("local.get 2 i64x2.extract_lane 0))");
#undef ADD
    open_pair(&p, text, NULL);
    same(&p, "f", 5, 7);
    close_pair(&p);
    free(text);
}

static void a_stop_ends_compilation(void **state) {
    struct world w;
    struct rt_instance *instance;
    char *text = crowded_function();
    (void)state;
    open_world(&w, &(struct rt_config){.tier = &jit_tier}, NULL);
    struct rt_module *module = load(&w, text);
    rt_store_interrupt(w.store, RT_INTERRUPT_TIMEOUT);
    assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_E_INTERRUPTED);
    assert_int_equal(w.store->trap, RT_TRAP_TIMEOUT);
    assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_OK);
    assert_null(jit_declined(module, 0));
    call(&w, instance, "f", 1, 2);
    rt_module_unref(module);
    close_world(&w);
    free(text);
}

static void what_has_no_machine_code_says_why(void **state) {
    struct pair p;
    (void)state;
    char *text =
        expand("(module # (func (export \"f\") (param i64) (result i64) @ (i64.clz (local.get 0))))");
    open_pair(&p, text, NULL);
    free(text);
    struct rt_func *f = func(p.instances[1], "f");
    assert_non_null(jit_declined(f->instance->module, f->index));
    assert_string_equal(jit_declined(f->instance->module, f->index), DECLINED);
    same(&p, "f", 0, 0);
    close_pair(&p);
}

/* What waits on the stack below a block around the loop is not the same for those who pass by the loop. */
static void operands_that_wait_around_a_loop_keep_their_values(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (func $round) (func (export \"f\") (param i32 i32) (result i32) (local i32 i32 i32 i32)"
        "  (local.set 5 (local.get 0))"
        "  (loop $out"
        "    (local.set 5 (i32.sub (local.get 5) (i32.const 1))) (call $round)"
        "    (i32.const 0)"
        "    (if (result i32) (local.get 1) (then (local.get 5)) (else (i32.const 0)))"
        "    (i32.const 3)"
        "    (if (result i32) (local.get 2) (then (i32.const 95))"
        "     (else (loop $in (local.set 3 (i32.add (local.get 3) (i32.const 4)))"
        "       (br_if $in (i32.lt_u (local.get 3) (i32.const 40)))) (i32.const 7)))"
        "    (i32.add) (i32.mul) (i32.add) (local.set 4 (i32.add (i32.mul (local.get 4) (i32.const 31))))"
        "    (local.set 2 (i32.const 1)) (br_if $out (local.get 5)))"
        "  (local.get 4)))",
        NULL);
    for (uint64_t i = 2; i < 12; i++) same(&p, "f", i, ~i & 1);
    close_pair(&p);
}

/* Whoever comes in at the innermost loop and turns in one around it never passed what stands in front of that one, though
 * the same is computed behind it: a value from there is not the one that is wanted. */
static void what_stands_in_front_of_loops_around_a_running_loop_is_computed_anew(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (memory 1) (func (export \"f\") (param i32 i32) (result i32) (local i32 i32 i32)"
              "  (loop $out"
              "    (i32.store (i32.const 0) (i32.xor (local.get 0) (i32.const 77)))"
              "    (local.set 2 (i32.const 3))"
              "    (block $done (loop $between"
              "      (br_if $done (i32.eqz (local.get 2)))"
              "      (local.set 2 (i32.sub (local.get 2) (i32.const 1)))"
              "      (local.set 3 (i32.const 40))"
              "      (loop $in (local.set 3 (i32.sub (local.get 3) (i32.const 1))) (br_if $in (local.get 3)))"
              "      (br $between)))"
              "    (local.set 4 (i32.add (i32.mul (local.get 4) (i32.const 31))"
              "                          (i32.xor (local.get 0) (i32.const 77))))"
              "    (br_if $out (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))"
              "  (i32.add (local.get 4) (i32.load (i32.const 0)))))",
              NULL);
    for (uint64_t i = 1; i < 6; i++) same(&p, "f", 1000 * i, i);
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps_tell_the_same_frames),
        cmocka_unit_test(operands_that_wait_around_a_loop_keep_their_values),
        cmocka_unit_test(what_stands_in_front_of_loops_around_a_running_loop_is_computed_anew),
        cmocka_unit_test(values_that_find_no_register_keep_their_place),
        cmocka_unit_test(calls_reach_other_instances_and_come_back),
        cmocka_unit_test(exceptions_pass_through_compiled_frames),
        cmocka_unit_test(deep_recursion_and_endless_tail_calls_have_room),
        cmocka_unit_test(no_page_is_writable_and_executable),
        cmocka_unit_test(code_memory_is_used_again),
        cmocka_unit_test(a_crowded_function_is_compiled),
        cmocka_unit_test(a_loop_passes_thousands_of_values_on),
        cmocka_unit_test(an_enormous_function_runs),
        cmocka_unit_test(a_stop_ends_compilation),
        cmocka_unit_test(what_has_no_machine_code_says_why),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
