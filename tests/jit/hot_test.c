/* tests/jit/hot_test.c: what is hot is compiled while it runs. */
#include "tests/runtime/fixture.h"

#include <pthread.h>

static struct jit_stats stats_of(const struct rt_instance *instance) {
    struct jit_stats stats;
    jit_module_stats(instance->module, &stats);
    return stats;
}

static const char counting[] =
    "(module (func (export \"count\") (param $n i64) (result i64) (local $sum i64)"
    "  (loop $l (local.set $sum (i64.add (local.get $sum) (local.get $n)))"
    "   (br_if $l (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))"
    "  (local.get $sum)))";

static void a_running_loop_goes_on_in_machine_code(void **state) {
    struct world w;
    (void)state;
    open_world(&w, &(struct rt_config){.tier = &auto_tier}, NULL);
    struct rt_instance *a = start(&w, counting, NULL);
    assert_int_equal(call(&w, a, "count", 1000, 0), 500500);
    assert_int_equal(stats_of(a).n_loops, 1);
    assert_int_equal(stats_of(a).n_compiled, 0);
    assert_int_equal(call(&w, a, "count", 10, 0), 55);
    assert_int_equal(stats_of(a).n_compiled, 1);
    assert_int_equal(call(&w, a, "count", 10, 0), 55);
    assert_int_equal(stats_of(a).n_loops, 1);
    close_world(&w);
}

/* What is compiled for one instance is there for those that come later. */
static void instances_share_what_is_compiled(void **state) {
    struct world w;
    struct rt_instance *instances[3];
    (void)state;
    open_world(&w, &(struct rt_config){.tier = &auto_tier}, NULL);
    struct rt_module *module = load(&w, counting);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instances[i], &w.err), ATOLL_OK);
        for (int k = 0; k < 3; k++) assert_int_equal(call(&w, instances[i], "count", 4, 0), 10);
        assert_ptr_not_equal(func(instances[i], "count")->jit_code, w.engine->bridge);
        assert_ptr_equal(func(instances[i], "count")->jit_code, func(instances[0], "count")->jit_code);
    }
    assert_int_equal(stats_of(instances[0]).n_compiled, 1);
    rt_module_unref(module);
    close_world(&w);
}

/* ---- with the engine's thread ---- */

static void no_page_is_both(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512], access[8];
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %7s", access) == 1 && strchr(access, 'w') && strchr(access, 'x'))
            fail_msg("%s", line);
    fclose(f);
}

/* Asked once a turn: whether the loop that asks has gone over to machine code. */
static enum rt_trap compiled_yet(struct rt_store *store, struct rt_instance *caller, void *context,
                                 union rt_slot *slots) {
    (void)store, (void)context;
    struct jit_stats stats = stats_of(caller);
    no_page_is_both();
    slots[0].u64 = stats.n_loops > 0 && stats.n_compiled > 0;
    return RT_TRAP_NONE;
}

static bool give(void *context, const struct rt_module *module, const struct bc_import *import,
                 struct rt_extern *out) {
    (void)module, (void)import;
    *out = (struct rt_extern){.kind = BC_EXTERN_FUNC, .func = context};
    return true;
}

/* A world whose engine has its thread: not all is hot at once. */
static void open_hot(struct world *w) {
    *w = (struct world){0};
    assert_int_equal(rt_engine_new(&(struct rt_config){.tier = &auto_tier}, &w->engine, &w->err), ATOLL_OK);
    assert_int_equal(rt_store_new(w->engine, NULL, &w->store, &w->err), ATOLL_OK);
}

static const char asking[] = "(module (import \"\" \"yet\" (func $yet (result i32)))"
                             "(func (export \"wait\") (param $n i64) (result i64)"
                             "  (loop $l (local.set $n (i64.add (local.get $n) (i64.const 1)))"
                             "   (br_if $l (i32.eqz (call $yet)))) (local.get $n)))";

static struct rt_instance *start_asking(struct world *w) {
    struct rt_func *yet;
    struct rt_instance *instance;
    const struct rt_valtype i32 = {.kind = BC_KIND_I32};
    const struct rt_type *type = rt_func_type(w->engine, NULL, 0, &i32, 1);
    assert_int_equal(rt_host_func_new(w->store, type, compiled_yet, NULL, "yet", &yet), ATOLL_OK);
    struct rt_module *module = load(w, asking);
    assert_int_equal(rt_instantiate(w->store, module, give, yet, &instance, &w->err), ATOLL_OK);
    rt_module_unref(module);
    return instance;
}

/* Ends when function and loop are compiled, however long that takes. */
static void the_thread_compiles_what_runs(void **state) {
    struct world w;
    (void)state;
    open_hot(&w);
    struct rt_instance *instance = start_asking(&w);
    assert_true(call(&w, instance, "wait", 0, 0) > 0);
    close_world(&w);
}

static void *run_alone(void *engine) {
    struct world w = {.engine = engine};
    assert_int_equal(rt_store_new(engine, NULL, &w.store, &w.err), ATOLL_OK);
    for (int i = 0; i < 20; i++) {
        struct rt_instance *instance = start(&w, counting, NULL);
        assert_int_equal(call(&w, instance, "count", 40000, 0), UINT64_C(800020000));
    }
    rt_store_free(w.store);
    return NULL;
}

/* Stores and modules come and go on several threads while the engine's thread compiles for them. */
static void programs_end_while_they_are_compiled(void **state) {
    enum { THREADS = 4 };
    struct world w;
    pthread_t threads[THREADS];
    (void)state;
    open_hot(&w);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_alone, w.engine), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_loop_goes_on_in_machine_code),
        cmocka_unit_test(instances_share_what_is_compiled),
        cmocka_unit_test(the_thread_compiles_what_runs),
        cmocka_unit_test(programs_end_while_they_are_compiled),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
