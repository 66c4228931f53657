/* tests/runtime/heap_test.c: the managed heap: when it starts, what keeps objects alive, what bounds it. */
#include "tests/runtime/fixture.h"

#include <pthread.h>

/* First of all tests: the collector is one for the process. */
static void programs_without_managed_types_never_start_the_collector(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a =
        start(&w,
              "(module (type $f (func (param i32) (result i32))) (tag $e (param i32)) (table 4 externref) "
              "(table $f funcref (elem $g))"
              "(func $g (export \"g\") (param i32) (result i32) (block $h (result i32)"
              " (try_table (catch $e $h) (throw $e (local.get 0))) (unreachable)))"
              "(func (export \"x\") (param externref) (table.set (i32.const 1) (local.get 0)))"
              "(func (export \"old\") (param i32) (result i32) (try (result i32) (do (throw $e (local.get "
              "0))) (catch $e)))"
              "(func (export \"delegated\") (param i32) (result i32) (try (result i32) (do (try (result i32) "
              "(do (throw $e (local.get 0))) (delegate 0))) (catch $e)))"
              "(func (export \"all\") (param i32) (result i32) (block $h (try_table (catch_all $h) (throw $e "
              "(local.get 0)))) (local.get 0))"
              "(func (export \"uncaught\") (throw $e (i32.const 1))))",
              NULL);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(call(&w, a, "g", i, 0), i);
        assert_int_equal(call(&w, a, "old", i, 0), i);
        assert_int_equal(call(&w, a, "delegated", i, 0), i);
        assert_int_equal(call(&w, a, "all", i, 0), i);
    }
    call(&w, a, "x", 16, 0);
    assert_traps(&w, a, "uncaught", 0, 0, 0, RT_TRAP_UNCAUGHT_EXCEPTION);
    assert_false(rt_heap_started());
    close_world(&w);
}

/* Chains of exceptions, each a value of the next, hang from a local, an operand, a global, a table, an element segment's
 * table, another exception, a host function's caller, and from nothing. */
static const char throwers[] =
    "(module (import \"\" \"meanwhile\" (func $meanwhile)) (type $c (func (param exnref i32) (result "
    "exnref)))"
    "(tag $e (param i32 exnref v128)) (global $g (mut exnref) (ref.null exn)) (table $t 100 exnref)"
    "(table $f funcref (elem $catch))"
    "(func $catch (type $c) (block $h (result i32 exnref v128 exnref) (try_table (catch_ref $e $h)"
    " (throw $e (local.get 1) (local.get 0) (v128.const i64x2 1 2))) (unreachable))"
    " (return) (unreachable))"
    "(func $chain (param $n i32) (result exnref) (local $x exnref) (loop $more"
    " (local.set $x (call_indirect $f (type $c) (local.get $x) (local.get $n) (i32.const 0)))"
    " (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $x))"
    "(func $sum (param $x exnref) (result i32) (local $s i32) (loop $more"
    " (if (ref.is_null (local.get $x)) (then (return (local.get $s))))"
    " (block $h (result i32 exnref v128) (try_table (catch $e $h) (throw_ref (local.get $x))) (unreachable))"
    " (drop) (local.set $x) (local.set $s (i32.add (local.get $s))) (br $more)) (unreachable))"
    "(func $garbage (export \"garbage\") (param i32) (loop (drop (call $chain (i32.const 10)))"
    " (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))"
    "(func (export \"local\") (result i32) (local exnref) (local.set 0 (call $chain (i32.const 100)))"
    " (call $garbage (i32.const 1000)) (call $sum (local.get 0)))"
    "(func (export \"operand\") (result i32) (call $chain (i32.const 100)) (call $garbage (i32.const 1000))"
    " (call $sum))"
    "(func (export \"global\") (result i32) (global.set $g (call $chain (i32.const 100)))"
    " (call $garbage (i32.const 1000)) (call $sum (global.get $g)))"
    "(func (export \"table\") (result i32) (table.set $t (i32.const 99) (call $chain (i32.const 100)))"
    " (call $garbage (i32.const 1000)) (drop (table.grow $t (ref.null exn) (i32.const 100000)))"
    " (call $garbage (i32.const 1000)) (call $sum (table.get $t (i32.const 99))))"
    "(func (export \"host\") (result i32) (call $chain (i32.const 100)) (call $meanwhile) (call $sum))"
    "(func $through (param i32 exnref i32) (result i32) (call $garbage (i32.const 1000))"
    " (i32.add (local.get 0) (i32.add (local.get 2) (call $sum (local.get 1)))))"
    "(func (export \"passed\") (result i32) (call $through (i32.const 1) (call $chain (i32.const 100))"
    " (i32.const -1)))"
    "(func (export \"hold\") (param i32) (global.set $g (call $chain (local.get 0))))"
    "(func (export \"make\") (result exnref) (call $chain (i32.const 100)))"
    "(func (export \"sum\") (param exnref) (result i32) (call $sum (local.get 0)))"
    "(func (export \"drop\") (global.set $g (ref.null exn)) (table.set $t (i32.const 99) (ref.null exn))"
    " (call $garbage (i32.const 1000))))";
#define SUM_OF_CHAIN (100 * 101 / 2)

static struct rt_instance *thrower; /* whom the host calls back */

static enum rt_trap throw_meanwhile(struct rt_store *store, struct rt_instance *caller, void *context,
                                    union rt_slot *args_results) {
    struct rt_extern garbage;
    union rt_slot args[1] = {{.u32 = 1000}};
    (void)caller, (void)context, (void)args_results;
    if (!rt_instance_export(thrower, "garbage", 7, &garbage)) return RT_TRAP_HOST;
    return rt_call(store, garbage.func, args, NULL) ? RT_TRAP_HOST : RT_TRAP_NONE;
}

static bool give_meanwhile(void *context, const struct rt_module *module, const struct bc_import *import,
                           struct rt_extern *out) {
    (void)module, (void)import;
    out->kind = BC_EXTERN_FUNC;
    out->func = context;
    return true;
}

static void open_throwers(struct world *w, const struct rt_config *config) {
    struct rt_func *meanwhile;
    open_world(w, config, NULL);
    struct rt_module *module = load(w, throwers);
    assert_int_equal(rt_host_func_new(w->store, rt_func_type(w->engine, NULL, 0, NULL, 0), throw_meanwhile,
                                      NULL, "meanwhile", &meanwhile),
                     ATOLL_OK);
    assert_int_equal(rt_instantiate(w->store, module, give_meanwhile, meanwhile, &thrower, &w->err),
                     ATOLL_OK);
    rt_module_unref(module);
}

static uint64_t exception_bytes(const struct world *w) {
    return atomic_load(&w->store->budget->exception_bytes);
}

/* The second test, since the collector is still not there. */
static void exceptions_live_as_long_as_anything_holds_them_without_the_collector(void **state) {
    static const char *const names[] = {"local", "operand", "global", "table", "host", "passed"};
    struct world w;
    (void)state;
    open_throwers(&w, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t got = call(&w, thrower, names[i], 0, 0);
        if (got != SUM_OF_CHAIN) fail_msg("%s: %llu", names[i], (unsigned long long)got);
    }
    struct rt_root *root = malloc(sizeof *root);
    assert_non_null(root);
    *root = (struct rt_root){.ref = (void *)(uintptr_t)call(&w, thrower, "make", 0, 0)};
    rt_root_add(w.store, root);
    call(&w, thrower, "drop", 0, 0);
    assert_int_equal(call(&w, thrower, "sum", (uintptr_t)root->ref, 0), SUM_OF_CHAIN);
    rt_root_remove(root);
    free(root);
    assert_false(rt_heap_started());
    close_world(&w);
}

static void exceptions_that_nobody_holds_do_not_add_up(void **state) {
    struct world w;
    (void)state;
    open_throwers(&w, NULL);
    call(&w, thrower, "garbage", 1000, 0);
    uint64_t before = exception_bytes(&w);
    call(&w, thrower, "garbage", 100000, 0); /* a million of them */
    assert_true(exception_bytes(&w) <= before + (256 << 10));
    call(&w, thrower, "hold", 100000, 0);
    uint64_t held = exception_bytes(&w);
    assert_true(held > 100000 * 48);
    call(&w, thrower, "drop", 0, 0);
    call(&w, thrower, "garbage", 30000, 0);
    assert_true(exception_bytes(&w) < held);
    assert_false(rt_heap_started());
    close_world(&w);
}

/* What frames that are gone have left on the machine's stack may lie in parts of later frames that nobody has written,
 * and everything on that stack counts as held. */
static __attribute__((noinline)) void overwrite_stack(void) {
    char room[1 << 16];
    memset(room, 0, sizeof room);
    __asm__ volatile("" : : "r"(room) : "memory");
}

static void too_many_exceptions_end_with_a_trap(void **state) {
    struct world w;
    (void)state;
    open_throwers(&w, &(struct rt_config){.max_gc_heap_bytes = 1 << 20});
    assert_traps(&w, thrower, "hold", 1000000, 0, 0, RT_TRAP_OUT_OF_MEMORY);
    assert_true(exception_bytes(&w) <= 1 << 20);
    overwrite_stack();
    call(&w, thrower, "drop", 0, 0);
    assert_int_equal(call(&w, thrower, "local", 0, 0), SUM_OF_CHAIN);
    assert_false(rt_heap_started());
    close_world(&w);
}

static const char boxes[] =
    "(module (type $b (struct (field (mut exnref)))) (global $g (mut (ref null $b)) (ref.null $b))"
    "(func (export \"put\") (param exnref) (global.set $g (struct.new $b (local.get 0))))"
    "(func (export \"get\") (result exnref) (struct.get $b 0 (global.get $g))))";

/* From then on exceptions are made in it, and what it holds of older ones stays. */
static void exceptions_from_before_the_managed_heap_stay_when_it_starts(void **state) {
    struct world w;
    (void)state;
    open_throwers(&w, NULL);
    call(&w, thrower, "hold", 100, 0);
    struct rt_instance *box = start(&w, boxes, NULL);
    assert_true(rt_heap_started());
    uint64_t old = exception_bytes(&w);
    call(&w, box, "put", call(&w, thrower, "make", 0, 0), 0);
    assert_int_equal(exception_bytes(&w), old); /* that one is in the heap */
    call(&w, thrower, "garbage", 10000, 0);
    rt_heap_collect();
    assert_int_equal(call(&w, thrower, "sum", call(&w, box, "get", 0, 0), 0), SUM_OF_CHAIN);
    close_world(&w);

    open_throwers(&w, NULL);
    uint64_t chain = call(&w, thrower, "make", 0, 0);
    box = start(&w, boxes, NULL);
    call(&w, box, "put", chain, 0);
    chain = 0;
    call(&w, thrower, "garbage", 10000, 0);
    rt_heap_collect();
    assert_int_equal(call(&w, thrower, "sum", call(&w, box, "get", 0, 0), 0), SUM_OF_CHAIN);
    close_world(&w);
}

/* Lists hang from a local, a global, a table, a field, an element, an exception, a segment's item, and from
 * nothing. */
static const char keepers[] =
    "(module (type $l (struct (field $next (mut (ref null $l))) (field $n i64) (field $small (mut i8))))"
    "(type $refs (array (mut (ref null $l)))) (type $any (array (mut anyref))) (type $wide (struct"
    "  (field i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 "
    "i64 i64 i64 i64 i64 i64 i64 i64 i64)"
    "  (field i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 "
    "i64 i64 i64 i64 i64 i64 i64 i64 i64)"
    "  (field $far (mut (ref null $l)))))"
    "(tag $e (param (ref null $l) i64)) (global $g (mut (ref null $l)) (ref.null $l)) (table $t 100 (ref "
    "null $l)) (table $x 4 externref)"
    "(global $e (mut exnref) (ref.null exn))"
    "(func $list (param $n i32) (result (ref null $l)) (local $p (ref null $l))"
    "  (loop $more (local.set $p (struct.new $l (local.get $p) (i64.extend_i32_u (local.get $n)) (i32.const "
    "7)))"
    "    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $p))"
    "(func $sum (param $p (ref null $l)) (result i64) (local $s i64)"
    "  (loop $more (if (ref.is_null (local.get $p)) (then (return (local.get $s))))"
    "    (local.set $s (i64.add (local.get $s) (i64.add (struct.get $l $n (local.get $p)) (i64.extend_i32_u "
    "(struct.get_u $l $small (local.get $p))))))"
    "    (local.set $p (struct.get $l $next (local.get $p))) (br $more)) (unreachable))"
    "(func $garbage (param i32) (loop (drop (call $list (i32.const 1000))) (br_if 0 (local.tee 0 (i32.sub "
    "(local.get 0) (i32.const 1))))))"
    "(func (export \"local\") (result i64) (local (ref null $l)) (local.set 0 (call $list (i32.const 100))) "
    "(call $garbage (i32.const 3000)) (call $sum (local.get 0)))"
    "(func (export \"operand\") (result i64) (call $list (i32.const 100)) (call $garbage (i32.const 3000)) "
    "(call $sum))"
    "(func (export \"global\") (result i64) (global.set $g (call $list (i32.const 100))) (call $garbage "
    "(i32.const 3000)) (call $sum (global.get $g)))"
    "(func (export \"table\") (result i64) (table.set $t (i32.const 99) (call $list (i32.const 100))) (call "
    "$garbage (i32.const 3000)) (call $sum (table.get $t (i32.const 99))))"
    "(func (export \"array\") (result i64) (local $a (ref $refs)) (local.set $a (array.new $refs (ref.null "
    "$l) (i32.const 5000)))"
    "  (array.set $refs (local.get $a) (i32.const 4999) (call $list (i32.const 100))) (call $garbage "
    "(i32.const 3000))"
    "  (call $sum (array.get $refs (local.get $a) (i32.const 4999))))"
    "(func (export \"wide\") (result i64) (local $w (ref $wide)) (local.set $w (struct.new_default $wide))"
    "  (struct.set $wide $far (local.get $w) (call $list (i32.const 100))) (call $garbage (i32.const 3000)) "
    "(call $sum (struct.get $wide $far (local.get $w))))"
    "(func (export \"exception\") (result i64) (block $h (result exnref) (try_table (catch_all_ref $h) "
    "(throw $e (call $list (i32.const 100)) (i64.const 1))) (unreachable))"
    "  (global.set $e) (call $garbage (i32.const 3000))"
    "  (block $v (result (ref null $l) i64) (try_table (catch $e $v) (throw_ref (global.get $e))) "
    "(unreachable)) (drop) (call $sum))"
    "(func (export \"extern\") (result i64) (table.set $x (i32.const 1) (extern.convert_any (call $list "
    "(i32.const 100)))) (call $garbage (i32.const 3000))"
    "  (call $sum (ref.cast (ref $l) (any.convert_extern (table.get $x (i32.const 1))))))"
    "(func (export \"grown\") (result i64) (table.set $t (i32.const 1) (call $list (i32.const 100))) (drop "
    "(table.grow $t (ref.null $l) (i32.const 100000)))"
    "  (call $garbage (i32.const 3000)) (call $sum (table.get $t (i32.const 1))))"
    "(func (export \"make\") (result (ref null $l)) (call $list (i32.const 100)))"
    "(func (export \"sum\") (param (ref null $l)) (result i64) (call $sum (local.get 0)))"
    "(func (export \"garbage\") (param i32) (call $garbage (local.get 0)))"
    "(func (export \"cycles\") (param i32) (local (ref null $l)) (loop"
    "  (local.set 1 (struct.new $l (ref.null $l) (i64.const 0) (i32.const 0))) (struct.set $l $next "
    "(local.get 1) (local.get 1))"
    "  (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))";
#define SUM_OF_LIST (100 * 101 / 2 + 100 * 7)

static void objects_live_as_long_as_anything_holds_them(void **state) {
    static const char *const names[] = {"local", "operand",   "global", "table", "array",
                                        "wide",  "exception", "extern", "grown"};
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(&w, keepers, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t got = call(&w, a, names[i], 0, 0);
        if (got != SUM_OF_LIST) fail_msg("%s: %llu", names[i], (unsigned long long)got);
    }
    close_world(&w);
}

static void a_host_root_keeps_an_object(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(&w, keepers, NULL);
    struct rt_root *root = malloc(sizeof *root); /* where the collector does not look */
    assert_non_null(root);
    *root = (struct rt_root){.ref = (void *)(uintptr_t)call(&w, a, "make", 0, 0)};
    rt_root_add(w.store, root);
    call(&w, a, "garbage", 3000, 0);
    assert_int_equal(call(&w, a, "sum", (uintptr_t)root->ref, 0), SUM_OF_LIST);
    rt_root_remove(root);
    free(root);
    close_world(&w);
}

static bool give_word(void *context, const struct rt_module *module, const struct bc_import *import,
                      struct rt_extern *out) {
    (void)module, (void)import;
    out->kind = BC_EXTERN_GLOBAL;
    out->global = context;
    return true;
}

/* No type of this module is managed; the box around the host's word is made while nothing may be collected. */
static void a_heap_that_starts_in_a_constant_expression_is_collected(void **state) {
    static const char text[] = "(module (global $w (import \"\" \"w\") externref)"
                               "(global (export \"x\") externref (extern.convert_any (any.convert_extern "
                               "(global.get $w)))))";
    struct world w;
    struct rt_global *word;
    struct rt_instance *a;
    struct rt_valtype externref = {.kind = BC_KIND_REF, .nullable = true, .heap = BC_HEAP_EXTERN};
    uint64_t heap, allocated;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, text);
    assert_int_equal(rt_global_new(w.store, externref, false, (union rt_slot[2]){{.u64 = 64}}, &word),
                     ATOLL_OK);
    assert_null(w.store->heap);
    assert_int_equal(rt_instantiate(w.store, module, give_word, word, &a, &w.err), ATOLL_OK);
    rt_module_unref(module);
    assert_non_null(w.store->heap);
    struct rt_instance *lists = start(&w, keepers, NULL);
    call(&w, lists, "garbage", 1000, 0);
    rt_heap_usage(&heap, &allocated);
    call(&w, lists, "garbage", 10000, 0);
    uint64_t before = heap;
    rt_heap_usage(&heap, &allocated);
    assert_true(heap < before + (64u << 20));
    close_world(&w);
}

static void garbage_does_not_add_up(void **state) {
    struct world w;
    uint64_t heap, allocated, heap_after, allocated_after;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(&w, keepers, NULL);
    call(&w, a, "garbage", 1000, 0);
    call(&w, a, "cycles", 1000000, 0);
    rt_heap_usage(&heap, &allocated);
    call(&w, a, "garbage", 10000, 0); /* ten million objects */
    call(&w, a, "cycles", 10000000, 0);
    rt_heap_usage(&heap_after, &allocated_after);
    assert_true(allocated_after - allocated > 500u << 20);
    assert_true(heap_after < heap + (64u << 20));
    close_world(&w);
}

static void exhaustion_is_a_trap_and_the_heap_works_on(void **state) {
    struct world w;
    struct rt_config config = {.max_gc_heap_bytes = 16 << 20};
    (void)state;
    open_world(&w, &config, NULL);
    struct rt_instance *a = start(
        &w,
        "(module (type $a (array (mut i64))) (type $l (struct (field (ref null $l)) (field (ref $a))))"
        "(func (export \"huge\") (param i32) (result i32) (array.len (array.new_default $a (local.get 0)))))",
        NULL);
    assert_int_equal(call(&w, a, "huge", 1000, 0), 1000);
    for (int i = 0; i < 3; i++) {
        assert_traps(&w, a, "huge", UINT32_MAX, 0, 0, RT_TRAP_OUT_OF_MEMORY);
        assert_int_equal(call(&w, a, "huge", 1000, 0), 1000);
    }
    close_world(&w);
}

/* What a store had ready when it ended is garbage. A word that looks like the first of these objects keeps
 * that one alone; those behind it come to other stores, whose references must not be taken for layouts. */
static unsigned note_free_objects(const struct rt_heap *heap, void *volatile *words, unsigned room) {
    unsigned n = 0;
    for (uint32_t i = 0; i < RT_SPACES * RT_SMALL_CLASSES; i++)
        for (void *object = heap->free[i]; object && n < room; object = *(void **)object)
            words[n] = n % 2 ? NULL : object, n++;
    return n;
}

static void free_objects_of_a_store_that_ended_lead_nowhere(void **state) {
    struct world w;
    void *volatile words[1024] = {NULL}; /* where the collector looks */
    unsigned n_words = 0;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(&w, keepers, NULL);
    for (int i = 0; i < 1000 && n_words < 20; i++) {
        call(&w, a, "garbage", 1, 0);
        n_words = note_free_objects(w.store->heap, words, 1024);
    }
    assert_true(n_words >= 20);
    close_world(&w);
    rt_heap_collect();
    open_world(&w, NULL, NULL);
    a = start(&w, keepers, NULL);
    call(&w, a, "garbage", 1000, 0);
    void *kept = (void *)(uintptr_t)call(&w, a, "make", 0, 0);
    rt_heap_collect();
    assert_int_equal(call(&w, a, "sum", (uintptr_t)kept, 0), SUM_OF_LIST);
    assert_non_null(words[0]);
    close_world(&w);
}

struct worker {
    struct rt_module *module;
    bool ok;
};
static void *allocate_in_own_store(void *p) {
    struct worker *worker = p;
    struct rt_store *store;
    struct rt_instance *instance;
    struct rt_extern e;
    union rt_slot slots[1] = {{0}};
    if (rt_store_new(worker->module->engine, NULL, &store, NULL)) return NULL;
    worker->ok = !rt_instantiate(store, worker->module, NULL, NULL, &instance, NULL);
    for (int i = 0; i < 3 && worker->ok; i++) {
        static const char *const names[] = {"operand", "table", "exception"};
        worker->ok = rt_instance_export(instance, names[i], strlen(names[i]), &e) &&
                     !rt_call(store, e.func, slots, NULL) && slots[0].u64 == SUM_OF_LIST;
    }
    rt_store_free(store);
    return NULL;
}

static void threads_allocate_at_the_same_time(void **state) {
    struct world w;
    struct worker workers[4];
    pthread_t threads[4];
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, keepers);
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){module, false};
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_in_own_store, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].ok);
    }
    rt_module_unref(module);
    close_world(&w);
}

int main(void) {
    install_fault_handlers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_without_managed_types_never_start_the_collector),
        cmocka_unit_test(exceptions_live_as_long_as_anything_holds_them_without_the_collector),
        cmocka_unit_test(exceptions_that_nobody_holds_do_not_add_up),
        cmocka_unit_test(too_many_exceptions_end_with_a_trap),
        cmocka_unit_test(exceptions_from_before_the_managed_heap_stay_when_it_starts),
        cmocka_unit_test(objects_live_as_long_as_anything_holds_them),
        cmocka_unit_test(a_host_root_keeps_an_object),
        cmocka_unit_test(a_heap_that_starts_in_a_constant_expression_is_collected),
        cmocka_unit_test(garbage_does_not_add_up),
        cmocka_unit_test(exhaustion_is_a_trap_and_the_heap_works_on),
        cmocka_unit_test(free_objects_of_a_store_that_ended_lead_nowhere),
        cmocka_unit_test(threads_allocate_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
