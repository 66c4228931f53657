/* tests/runtime/stop_test.c: interruption, fuel, stack exhaustion, and what is left behind them. Times are
 * upper bounds with much room: what is tested is that a stop comes at all, and soon. */
#include "tests/runtime/fixture.h"
#include "tests/sanitized.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct stopper {
    struct rt_store *store;
    enum rt_interrupt why;
    struct timespec at; /* when the stop was asked for */
};

static void *stop_soon(void *p) {
    struct stopper *s = p;
    usleep(30000);
    clock_gettime(CLOCK_MONOTONIC, &s->at);
    rt_store_interrupt(s->store, s->why);
    return NULL;
}

/* The call ends with the trap, within a second of the request. */
static void assert_stops(struct world *w, struct rt_instance *instance, const char *name, uint64_t a) {
    struct stopper s = {w->store, RT_INTERRUPT_TIMEOUT, {0}};
    struct timespec now;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &s), 0);
    assert_int_equal(try_call(w, instance, name, a, 0, 0, NULL), ATOLL_E_INTERRUPTED);
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_join(thread, NULL);
    assert_int_equal(w->store->trap, RT_TRAP_TIMEOUT);
    assert_true((now.tv_sec - s.at.tv_sec) * 1000 + (now.tv_nsec - s.at.tv_nsec) / 1000000 < 1000);
}

static void every_kind_of_endless_program_can_be_stopped(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a =
        start(&w,
              "(module (memory 65536) (table $t 10000000 externref) (type $f (func (param i32))) (table "
              "$calls funcref (elem $tail))"
              "(tag $e) (type $bytes (array (mut i8)))"
              "(func (export \"loop\") (param i32) (loop br 0))"
              "(func (export \"if\") (param i32) (loop (br_if 0 (i32.eqz (local.get 0)))))"
              "(func (export \"table\") (param i32) (loop (br_table 0 0 0 (local.get 0))))"
              "(func $tail (export \"tail\") (param i32) (return_call $tail (local.get 0)))"
              "(func (export \"indirect\") (param i32) (loop (return_call_indirect $calls (type $f) "
              "(i32.const 1) (i32.const 0))))"
              "(func (export \"throw\") (param i32) (loop $l (try_table (catch $e $l) (throw $e))))"
              "(func (export \"fill\") (param i32) (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const "
              "-1)) (br 0)))"
              "(func (export \"copy\") (param i32) (loop (memory.copy (i32.const 0) (i32.const 1) (i32.const "
              "-1)) (br 0)))"
              "(func (export \"table-fill\") (param i32) (loop (table.fill $t (i32.const 0) (ref.null "
              "extern) (i32.const 10000000)) (br 0)))"
              "(func (export \"array\") (param i32) (loop (drop (array.new $bytes (i32.const 1) (i32.const "
              "100000000))) (br 0)))"
              "(func $deep (export \"deep\") (param i32) (loop (call $down (i32.const 5000)) (br 0)))"
              "(func $down (param i32) (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const "
              "1))))))"
              ")",
              NULL);
    static const char *const names[] = {"loop", "if",   "table",      "tail",  "indirect", "throw",
                                        "fill", "copy", "table-fill", "array", "deep"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_stops(&w, a, names[i], 0);
    /* and the instance still works */
    assert_stops(&w, a, "loop", 0);
    close_world(&w);
}

static enum rt_trap call_back(struct rt_store *store, struct rt_instance *caller, void *context,
                              union rt_slot *args) {
    struct rt_func **target = context;
    struct atoll_error err;
    (void)caller;
    if (!rt_call(store, *target, args, &err)) return RT_TRAP_NONE;
    return store->trap;
}

static bool give_func(void *context, const struct rt_module *module, const struct bc_import *import,
                      struct rt_extern *out) {
    (void)module, (void)import;
    *out = (struct rt_extern){.kind = BC_EXTERN_FUNC, .func = context};
    return true;
}

/* wasm -> host -> wasm -> host ...: the native stack holds, and the trap passes through all of it. */
static void recursion_through_the_host_ends_with_a_trap(void **state) {
    struct world w;
    struct rt_func *host, *target = NULL;
    struct rt_instance *instance;
    struct rt_valtype i32 = {.kind = BC_KIND_I32};
    (void)state;
    open_world(&w, NULL, NULL);
    assert_int_equal(rt_host_func_new(w.store, rt_func_type(w.engine, &i32, 1, NULL, 0), call_back, &target,
                                      "back", &host),
                     ATOLL_OK);
    struct rt_module *module = load(&w, "(module (import \"\" \"back\" (func $back (param i32))) (func "
                                        "(export \"go\") (param i32) (call $back (local.get 0))))");
    assert_int_equal(rt_instantiate(w.store, module, give_func, host, &instance, &w.err), ATOLL_OK);
    target = func(instance, "go");
    assert_traps(&w, instance, "go", 1, 0, 0, RT_TRAP_STACK_EXHAUSTED);
    assert_traps(&w, instance, "go", 1, 0, 0, RT_TRAP_STACK_EXHAUSTED);
    rt_module_unref(module);
    close_world(&w);
}

static void ten_thousand_frames_fit_and_endless_ones_trap(void **state) {
    struct world w;
    struct rt_instance *out;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a =
        start(&w,
              "(module (func $f (export \"deep\") (param i32) (result i32) (if (result i32) (local.get 0)"
              " (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else "
              "(i32.const 0))))"
              "(func $g (export \"wide\") (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 "
              "i64) (call $g))"
              "(func (export \"one\") (result i32) (i32.const 1)))",
              NULL);
    assert_int_equal(call(&w, a, "deep", 10000, 0), 10000);
    for (int i = 0; i < 3; i++) {
        assert_traps(&w, a, "deep", UINT32_MAX, 0, 0, RT_TRAP_STACK_EXHAUSTED);
        assert_true(w.store->n_frames > 10000);
        assert_traps(&w, a, "wide", 0, 0, 0, RT_TRAP_STACK_EXHAUSTED);
        assert_int_equal(call(&w, a, "one", 0, 0), 1);
    }
    assert_int_equal(try_start(&w, "(module (func $s (call $s)) (start $s))", NULL, &out), ATOLL_E_TRAP);
    assert_int_equal(w.store->trap, RT_TRAP_STACK_EXHAUSTED);
    close_world(&w);
}

static void fuel_counts_the_same_every_time(void **state) {
    struct world w;
    struct rt_config config = {.fuel = true};
    (void)state;
    open_world(&w, &config, NULL);
    w.store->fuel = 1000000;
    struct rt_instance *a = start(&w,
                                  "(module (func (export \"f\") (param i32) (loop (br_if 0 (local.tee 0 "
                                  "(i32.sub (local.get 0) (i32.const 1)))))))",
                                  NULL);
    int64_t used[3];
    for (int i = 0; i < 3; i++) {
        w.store->fuel = 1000000;
        call(&w, a, "f", 1000, 0);
        used[i] = 1000000 - w.store->fuel;
    }
    assert_true(used[0] == used[1] && used[1] == used[2]);
    assert_in_range(used[0], 3000, 8000);
    w.store->fuel = used[0] - 1;
    assert_traps(&w, a, "f", 1000, 0, 0, RT_TRAP_OUT_OF_FUEL);
    w.store->fuel = used[0];
    call(&w, a, "f", 1000, 0);
    close_world(&w);
}

/* A stop inside a bulk operation leaves a prefix, in the direction of the copy, and nothing torn. */
static void a_bulk_operation_that_is_stopped_leaves_a_prefix(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a =
        start(&w,
              "(module (memory 40000) (func (export \"fill\") (param i32) (loop $l (memory.fill (i32.const "
              "0) (local.get 0) (i32.const -1673527296))"
              " (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br $l)))"
              "(func (export \"get\") (param i32) (result i32) (i32.load8_u (local.get 0))))",
              NULL);
    assert_stops(&w, a, "fill", 1);
    uint64_t before = call(&w, a, "get", 0, 0);
    unsigned changes = 0;
    for (uint64_t at = 4096; at < 40000u * 65536u; at += 1 << 16) {
        uint64_t now = call(&w, a, "get", at, 0);
        changes += now != before;
        before = now;
    }
    assert_in_range(changes, 0, 1);
    close_world(&w);
}

static void a_trap_harms_nobody_else(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    static const char text[] =
        "(module (memory 1) (global $n (mut i32) (i32.const 0)) (func (export \"count\") (result i32)"
        " (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))"
        "(func $inner (export \"trap\") (global.set $n (i32.const 50)) (drop (i32.load (i32.const -1)))))";
    struct rt_instance *a = start(&w, text, NULL), *b = start(&w, text, NULL);
    assert_int_equal(call(&w, b, "count", 0, 0), 1);
    assert_traps(&w, a, "trap", 0, 0, 0, RT_TRAP_MEMORY_BOUNDS);
    assert_int_equal(w.store->n_frames, 1);
    assert_int_equal(rt_store_frame(w.store, 0)->func, 1);
    assert_int_equal(call(&w, a, "count", 0, 0), 51);
    assert_int_equal(call(&w, b, "count", 0, 0), 2);
    close_world(&w);
}

/* ---- faults of the host ---- */

static enum rt_trap touch_nothing_of_ours(struct rt_store *store, struct rt_instance *caller, void *context,
                                          union rt_slot *args) {
    (void)store, (void)caller, (void)context, (void)args;
    volatile int *volatile nowhere = NULL;
    *nowhere = 1; /* a bug of the host's */
    return RT_TRAP_NONE;
}
/* Where a program's own access would trap. */
static enum rt_trap touch_a_guard(struct rt_store *store, struct rt_instance *caller, void *context,
                                  union rt_slot *args) {
    (void)store, (void)context, (void)args;
    volatile uint8_t *guard = caller->memories[0]->base + (1 << 16);
    return *guard ? RT_TRAP_NONE : RT_TRAP_UNREACHABLE;
}
static enum rt_trap send_the_signal(struct rt_store *store, struct rt_instance *caller, void *context,
                                    union rt_slot *args) {
    (void)store, (void)caller, (void)context, (void)args;
    raise(SIGSEGV);
    return RT_TRAP_NONE;
}

/* Leaves with 0 when anything comes back from the call. */
static _Noreturn void call_from_wasm(rt_host_fn *fn) {
    struct world w;
    struct rt_func *host;
    struct rt_instance *instance;
    signal(SIGSEGV, SIG_DFL);
    open_world(&w, NULL, NULL);
    rt_host_func_new(w.store, rt_func_type(w.engine, NULL, 0, NULL, 0), fn, NULL, "bug", &host);
    struct rt_module *module = load(
        &w, "(module (import \"\" \"bug\" (func $bug)) (memory 1 1) (func (export \"go\") (call $bug)))");
    rt_instantiate(w.store, module, give_func, host, &instance, NULL);
    rt_call(w.store, func(instance, "go"), (union rt_slot[1]){{0}}, NULL);
    _exit(0);
}

/* A fault that is not a guest's access stays a crash, with the signal it had: also below a running program,
 * and at an address that belongs to its memory. */
static void a_fault_of_the_host_stays_a_crash(void **state) {
    rt_host_fn *const faults[] = {touch_nothing_of_ours, touch_a_guard, send_the_signal};
    (void)state;
    fflush(stdout);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        pid_t child = fork();
        if (!child) call_from_wasm(faults[i]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (SANITIZED) continue; /* it prints its own report and exits */
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSEGV);
    }
}

/* ---- stops outside of functions, and what is told of traps ---- */

static char *repeated(const char *head, const char *item, unsigned n, const char *tail) {
    size_t size = strlen(head) + n * strlen(item) + strlen(tail) + 1;
    char *text = malloc(size), *at = text;
    assert_non_null(text);
    at += sprintf(at, "%s", head);
    for (unsigned i = 0; i < n; i++) at += sprintf(at, "%s", item);
    strcpy(at, tail);
    return text;
}

static void assert_start_is_stopped(struct world *w, const char *text) {
    struct rt_instance *out;
    rt_store_interrupt(w->store, RT_INTERRUPT_TIMEOUT);
    assert_int_equal(try_start(w, text, NULL, &out), ATOLL_E_INTERRUPTED);
    assert_int_equal(w->store->trap, RT_TRAP_TIMEOUT);
    assert_int_equal(try_start(w, text, NULL, &out), ATOLL_OK); /* the stop was delivered, and is over */
}

/* No function runs here: what an instance is made of is looked at in pieces. */
static void a_stop_ends_an_instantiation_within_bounded_work(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    assert_start_is_stopped(&w, "(module (func $f) (table 9000000 funcref (ref.func $f)))");
    char *data = repeated("(module (memory 100) (data (i32.const 0) \"", "0123456789abcdef", 1 << 17, "\"))");
    char *datas = repeated("(module (memory 1)", "(data (i32.const 0) \"x\")", 70000, ")");
    char *elems =
        repeated("(module (func $f) (table 100000 funcref) (elem (i32.const 0)", " $f", 70000, "))");
    char *passive = repeated("(module (func $f) (elem funcref", " (ref.func $f)", 70000, "))");
    assert_start_is_stopped(&w, data);
    assert_start_is_stopped(&w, datas);
    assert_start_is_stopped(&w, elems);
    assert_start_is_stopped(&w, passive);
    free(data), free(datas), free(elems), free(passive);
    close_world(&w);
}

/* What a stopped growth has written already is nobody's element later. */
static void a_growth_that_is_stopped_leaves_no_elements(void **state) {
    struct world w;
    struct rt_table *table;
    uint64_t old;
    (void)state;
    open_world(&w, NULL, NULL);
    struct bc_limits type = {.min = 10, .max = 5000000, .has_max = true};
    struct rt_valtype funcref = {.kind = BC_KIND_REF, .nullable = true, .heap = BC_HEAP_FUNC};
    union rt_slot null = {0}, value = {.ref = &w};
    assert_int_equal(rt_table_new(w.store, funcref, &type, null, &table, NULL), ATOLL_OK);
    atomic_store(&w.store->interrupt, RT_INTERRUPT_CANCEL);
    rt_table_grow(table, 1000000, value, &old);
    assert_int_equal(old, UINT64_MAX);
    assert_int_equal(table->size, 10);
    assert_int_equal(w.store->budget->table_elems, 10);
    atomic_store(&w.store->interrupt, RT_INTERRUPT_NONE);
    rt_table_grow(table, 400000, null, &old);
    assert_int_equal(old, 10);
    for (uint64_t i = 0; i < table->size; i++) assert_null(table->elems[i].ref);
    rt_table_grow(table, 10, value, &old);
    assert_int_equal(old, 400010);
    assert_ptr_equal(table->elems[400015].ref, &w);
    close_world(&w);
}

/* Two calls back: the first traps, the second asks something else. What is told is the first. */
static enum rt_trap ask_twice(struct rt_store *store, struct rt_instance *caller, void *context,
                              union rt_slot *args) {
    struct rt_func **targets = context;
    (void)caller;
    if (args[0].u32) {
        assert_int_equal(rt_call(store, targets[1], args, NULL), ATOLL_E_TRAP);
    } else {
        rt_store_trap_text(store, "the host knows why");
    }
    enum rt_trap trap = args[0].u32 ? store->trap : RT_TRAP_HOST;
    assert_int_equal(rt_call(store, targets[2], args, NULL), ATOLL_OK);
    return trap;
}

static bool give_first_func(void *context, const struct rt_module *module, const struct bc_import *import,
                            struct rt_extern *out) {
    (void)module, (void)import;
    *out = (struct rt_extern){.kind = BC_EXTERN_FUNC, .func = *(struct rt_func **)context};
    return true;
}

static void a_nested_call_that_succeeds_leaves_the_trap_told(void **state) {
    struct world w;
    struct rt_func *funcs[3];
    struct rt_instance *a;
    struct rt_valtype i32 = {.kind = BC_KIND_I32};
    (void)state;
    open_world(&w, NULL, NULL);
    rt_host_func_new(w.store, rt_func_type(w.engine, &i32, 1, NULL, 0), ask_twice, funcs, "ask", &funcs[0]);
    struct rt_module *module = load(
        &w, "(module (import \"\" \"ask\" (func $ask (param i32))) (func $bad (export \"bad\") (param i32) "
            "(unreachable)) (func (export \"good\") (param i32))"
            "(func (export \"go\") (param i32) (call $ask (local.get 0))))");
    assert_int_equal(rt_instantiate(w.store, module, give_first_func, funcs, &a, &w.err), ATOLL_OK);
    funcs[1] = func(a, "bad");
    funcs[2] = func(a, "good");
    assert_traps(&w, a, "go", 0, 0, 0, RT_TRAP_HOST);
    assert_string_equal(w.err.text, "the host knows why");
    assert_traps(&w, a, "go", 1, 0, 0, RT_TRAP_UNREACHABLE);
    assert_true(w.store->n_frames >= 1);
    assert_int_equal(rt_store_frame(w.store, 0)->func, 1); /* where the first call back trapped */
    rt_module_unref(module);
    close_world(&w);
}

struct worker {
    struct rt_module *module;
    uint64_t result;
};
static void *run_in_own_store(void *p) {
    struct worker *worker = p;
    struct rt_store *store;
    struct rt_instance *instance;
    union rt_slot slots[1] = {{.u64 = 20}};
    if (rt_store_new(worker->module->engine, NULL, &store, NULL)) return NULL;
    struct rt_extern e;
    if (!rt_instantiate(store, worker->module, NULL, NULL, &instance, NULL) &&
        rt_instance_export(instance, "fib", 3, &e) && !rt_call(store, e.func, slots, NULL))
        worker->result = slots[0].u64;
    rt_store_free(store);
    return NULL;
}

/* All lower the same functions at the same moment. */
static void threads_share_a_module(void **state) {
    struct world w;
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct worker workers[8];
        pthread_t threads[8];
        open_world(&w, NULL, NULL);
        struct rt_module *module =
            load(&w, "(module (memory 1) (data (i32.const 0) \"x\") (func $fib (export \"fib\") (param i32) "
                     "(result i32)"
                     " (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))"
                     " (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub "
                     "(local.get 0) (i32.const 2))))))))");
        for (int i = 0; i < 8; i++) {
            workers[i] = (struct worker){module, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, run_in_own_store, &workers[i]), 0);
        }
        for (int i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(workers[i].result, 6765);
        }
        rt_module_unref(module);
        close_world(&w);
    }
}

static long resident_pages(void) {
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return resident;
}

static void instantiating_and_dropping_keeps_memory_flat(void **state) {
    struct world w;
    long after_warm_up = 0;
    (void)state;
    if (SANITIZED) skip(); /* a sanitizer keeps freed memory for a while; it looks for leaks itself */
    for (int i = 0; i < 3000; i++) {
        open_world(&w, NULL, NULL);
        struct rt_instance *a = start(
            &w,
            "(module (memory 10) (table 5000 funcref) (type $s (struct (field i32) (field anyref))) (tag $e "
            "(param i32))"
            "(data (i32.const 100) \"abc\") (func (export \"f\") (result i32) (local anyref)"
            " (local.set 0 (struct.new $s (i32.const 1) (local.get 0)))"
            " (block $h (result i32) (try_table (catch $e $h) (throw $e (i32.const 3))) (unreachable))))",
            NULL);
        assert_int_equal(call(&w, a, "f", 0, 0), 3);
        close_world(&w);
        if (i == 500) after_warm_up = resident_pages();
    }
    assert_true(resident_pages() < after_warm_up + 1500);
}

int main(void) {
    install_fault_handlers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_endless_program_can_be_stopped),
        cmocka_unit_test(recursion_through_the_host_ends_with_a_trap),
        cmocka_unit_test(ten_thousand_frames_fit_and_endless_ones_trap),
        cmocka_unit_test(fuel_counts_the_same_every_time),
        cmocka_unit_test(a_bulk_operation_that_is_stopped_leaves_a_prefix),
        cmocka_unit_test(a_trap_harms_nobody_else),
        cmocka_unit_test(a_fault_of_the_host_stays_a_crash),
        cmocka_unit_test(a_stop_ends_an_instantiation_within_bounded_work),
        cmocka_unit_test(a_growth_that_is_stopped_leaves_no_elements),
        cmocka_unit_test(a_nested_call_that_succeeds_leaves_the_trap_told),
        cmocka_unit_test(threads_share_a_module),
        cmocka_unit_test(instantiating_and_dropping_keeps_memory_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
