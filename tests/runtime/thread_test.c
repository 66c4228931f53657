/* tests/runtime/thread_test.c: memories that several stores share on threads of their own: growth, limits,
 * waiting, notifying, stopping. No test measures time; those that wait for a state look for it. */
#include "tests/runtime/fixture.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 6 };

static bool give_memory(void *context, const struct rt_module *module, const struct bc_import *import,
                        struct rt_extern *out) {
    (void)module;
    *out = (struct rt_extern){.kind = BC_EXTERN_MEMORY, .memory = context};
    return import->kind == BC_EXTERN_MEMORY;
}

/* A thread with a store of its own, and what its one call gave. */
struct agent {
    struct rt_module *module;
    struct rt_memory *memory;
    struct rt_store *sibling; /* of the new store; NULL: a store of its own program */
    struct rt_store *_Atomic store;
    const char *name;
    uint64_t args[3];
    int64_t fuel;
    pthread_t thread;
    pid_t _Atomic tid;
    enum atoll_status status;
    enum rt_trap trap;
    uint64_t result;
};

static void *live(void *p) {
    struct agent *a = p;
    a->tid = gettid();
    struct rt_store *store = a->store;
    struct rt_instance *instance;
    union rt_slot slots[4] = {{.u64 = a->args[0]}, {.u64 = a->args[1]}, {.u64 = a->args[2]}};
    a->status = rt_instantiate(store, a->module, give_memory, a->memory, &instance, NULL);
    if (!a->status) a->status = rt_call(store, func(instance, a->name), slots, NULL);
    a->trap = store->trap;
    a->result = slots[0].u64;
    return NULL;
}

static void begin(struct agent *a, struct rt_module *module, struct rt_memory *memory, const char *name) {
    struct rt_store *store;
    a->module = module;
    a->memory = memory;
    a->name = name;
    if (a->sibling)
        assert_int_equal(rt_store_new_sibling(a->sibling, &store, NULL), ATOLL_OK);
    else
        assert_int_equal(rt_store_new(module->engine, NULL, &store, NULL), ATOLL_OK);
    a->store = store;
    assert_int_equal(pthread_create(&a->thread, NULL, live, a), 0);
}
static void end(struct agent *a) {
    pthread_join(a->thread, NULL);
    rt_store_free(a->store);
}

static struct rt_memory *shared_memory(struct world *w, uint64_t min, uint64_t max, bool is64) {
    struct bc_limits type = {
        .min = min, .max = max, .has_max = true, .shared = true, .is64 = is64, .page_size_log2 = 16};
    struct rt_memory *memory = NULL;
    assert_int_equal(rt_memory_new(w->store, &type, &memory, &w->err), ATOLL_OK);
    return memory;
}

static uint32_t load32(const struct rt_memory *memory, uint64_t at) {
    return __atomic_load_n((const uint32_t *)(const void *)(memory->base + at), __ATOMIC_SEQ_CST);
}
static void store32(const struct rt_memory *memory, uint64_t at, uint32_t value) {
    __atomic_store_n((uint32_t *)(void *)(memory->base + at), value, __ATOMIC_SEQ_CST);
}
static void await32(const struct rt_memory *memory, uint64_t at, uint32_t value) {
    while (load32(memory, at) != value) usleep(200);
}

#define SHARED32 "(import \"\" \"m\" (memory 1 100 shared))"
#define SHARED64 "(import \"\" \"m\" (memory i64 1 100 shared))"

/* ---- one memory, many stores ---- */

static void atomics_of_all_threads_add_up(struct world *w, bool is64) {
    struct agent agents[THREADS] = {{0}};
    char text[600];
    const char *i = is64 ? "i64" : "i32";
    snprintf(text, sizeof text,
             "(module %s (func (export \"add\") (param i32) (loop (drop (i32.atomic.rmw.add (%s.const 16) "
             "(i32.const 1))) (i32.store (%s.const 32) (local.get 0)) (br_if 0 (local.tee 0 (i32.sub "
             "(local.get 0) (i32.const 1)))))))",
             is64 ? SHARED64 : SHARED32, i, i);
    struct rt_module *module = load(w, text);
    struct rt_memory *memory = shared_memory(w, 1, 2, is64);
    for (int k = 0; k < THREADS; k++) {
        agents[k].args[0] = 20000;
        begin(&agents[k], module, memory, "add");
    }
    for (int k = 0; k < THREADS; k++) {
        end(&agents[k]);
        assert_int_equal(agents[k].status, ATOLL_OK);
    }
    assert_int_equal(load32(memory, 16), THREADS * 20000);
    assert_in_range(load32(memory, 32), 1, 20000); /* a race: some thread's value, whole */
    rt_module_unref(module);
}
static void stores_on_threads_share_a_memory(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    atomics_of_all_threads_add_up(&w, false);
    atomics_of_all_threads_add_up(&w, true); /* without guard pages: each access is checked */
    close_world(&w);
}

/* Every store, bulk operation and 16-byte access may meet every other's: nobody but the program sees it. */
static void racing_programs_harm_only_themselves(void **state) {
    struct world w;
    struct agent agents[THREADS] = {{0}};
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module =
        load(&w, "(module " SHARED64 "(memory $own i64 1) (data $d \"abcdefgh\")"
                 "(func (export \"mess\") (param i32) (loop"
                 " (memory.fill (i64.const 100) (local.get 0) (i64.const 3000))"
                 " (memory.copy (i64.const 150) (i64.const 100) (i64.const 3000))"
                 " (memory.copy $own 0 (i64.const 0) (i64.const 100) (i64.const 3000))"
                 " (memory.init $d (i64.const 120) (i32.const 0) (i32.const 8))"
                 " (v128.store (i64.const 130) (v128.load (i64.const 1000)))"
                 " (f64.store (i64.const 141) (f64.load (i64.const 1001)))"
                 " (i64.store8 (i64.const 151) (i64.load16_s (i64.const 1003)))"
                 " (i64.store32 (i64.const 156) (i64.add (i64.load32_u (i64.const 1005)) (i64.atomic.rmw.add "
                 "(i64.const 160) (i64.const 1))))"
                 " (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))");
    struct rt_memory *memory = shared_memory(&w, 1, 1, true);
    for (int k = 0; k < THREADS; k++) {
        agents[k].args[0] = 500;
        begin(&agents[k], module, memory, "mess");
    }
    for (int k = 0; k < THREADS; k++) {
        end(&agents[k]);
        assert_int_equal(agents[k].status, ATOLL_OK);
    }
    rt_module_unref(module);
    close_world(&w);
}

/* Whoever learns that the memory grew can use the new pages; every page is given out once. */
static void growth_by_many_threads_loses_nothing(struct world *w, bool is64) {
    struct agent agents[THREADS] = {{0}};
    char text[900];
    const char *i = is64 ? "i64" : "i32";
    snprintf(text, sizeof text,
             "(module %s (func (export \"grow\") (param i32) (result i32) (local $old %s) (local $n i32)"
             " (loop $l (local.set $old (memory.grow (%s.const 1)))"
             "  (if (%s.ne (local.get $old) (%s.const -1)) (then"
             "   (local.set $n (i32.add (local.get $n) (i32.const 1)))"
             "   (drop (i32.atomic.rmw.add (%s.mul (local.get $old) (%s.const 65536)) (i32.const 1)))"
             "   (drop (i32.load8_u (%s.sub (%s.mul (memory.size) (%s.const 65536)) (%s.const 1))))"
             "   (br $l)))) (local.get $n)))",
             is64 ? SHARED64 : SHARED32, i, i, i, i, i, i, i, i, i, i);
    struct rt_module *module = load(w, text);
    struct rt_memory *memory = shared_memory(w, 1, 90, is64);
    uint64_t total = 0;
    for (int k = 0; k < THREADS; k++) begin(&agents[k], module, memory, "grow");
    for (int k = 0; k < THREADS; k++) {
        end(&agents[k]);
        assert_int_equal(agents[k].status, ATOLL_OK);
        total += agents[k].result;
    }
    assert_int_equal(total, 89);
    assert_int_equal(memory->size_bytes, 90 << 16);
    for (uint64_t page = 1; page < 90; page++) assert_int_equal(load32(memory, page << 16), 1);
    rt_module_unref(module);
}
static void a_shared_memory_grows_on_all_threads(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    growth_by_many_threads_loses_nothing(&w, false);
    growth_by_many_threads_loses_nothing(&w, true);
    close_world(&w);
}

/* One program's stores have one limit between them; a shared memory counts once. */
static void siblings_share_a_limit(void **state) {
    struct world w;
    struct agent agents[THREADS] = {{0}};
    struct rt_limits limits = {.max_memory_bytes = 50 << 16, .max_table_elems = 100, .max_instances = 5};
    uint64_t total = 0;
    int refused = 0;
    (void)state;
    open_world(&w, NULL, &limits);
    struct rt_module *module =
        load(&w, "(module " SHARED32 "(table 1 funcref) (func (export \"grow\") (result i32) "
                 "(local $n i32) (loop $l (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then "
                 "(local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l)))) "
                 "(drop (table.grow (ref.null func) (i32.const 90))) (local.get $n)))");
    struct rt_memory *memory = shared_memory(&w, 1, 90, false);
    for (int k = 0; k < THREADS; k++) {
        agents[k].sibling = w.store;
        begin(&agents[k], module, memory, "grow");
    }
    for (int k = 0; k < THREADS; k++) {
        pthread_join(agents[k].thread, NULL);
        if (agents[k].status)
            refused++;
        else
            total += agents[k].result;
    }
    assert_int_equal(refused, 1); /* the sixth instance */
    assert_int_equal(w.store->budget->memory_bytes, 50 << 16);
    assert_int_equal(total, 50 - 1);
    assert_in_range(w.store->budget->table_elems, 90, 100);
    for (int k = 0; k < THREADS; k++) rt_store_free(agents[k].store);
    /* what a store had goes back; the shared pages stay with the memory */
    assert_int_equal(w.store->budget->memory_bytes, memory->size_bytes);
    assert_int_equal(w.store->budget->n_instances, 0);
    rt_module_unref(module);
    close_world(&w);
}

static void a_shared_memory_outlives_its_store_while_it_is_held(void **state) {
    struct world w;
    struct rt_store *other;
    struct rt_instance *instance;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, "(module " SHARED32 "(func (export \"get\") (result i32) "
                                        "(i32.load (i32.const 8))))");
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    struct rt_engine *engine = w.engine;
    rt_memory_ref(memory);
    store32(memory, 8, 77);
    rt_store_free(w.store);
    assert_int_equal(rt_store_new(engine, NULL, &other, NULL), ATOLL_OK);
    assert_int_equal(rt_instantiate(other, module, give_memory, memory, &instance, NULL), ATOLL_OK);
    rt_memory_unref(memory);
    w.store = other;
    assert_int_equal(call(&w, instance, "get", 0, 0), 77);
    rt_module_unref(module);
    rt_store_free(other);
    rt_engine_unref(engine);
}

static void a_memory_that_is_not_shared_stays_in_its_store(void **state) {
    struct world w, other;
    struct rt_instance *instance;
    struct rt_memory *memory, *shared;
    struct bc_limits type = {.min = 1, .max = 2, .has_max = true, .page_size_log2 = 16};
    (void)state;
    open_world(&w, NULL, NULL);
    open_world(&other, NULL, NULL);
    assert_int_equal(rt_memory_new(w.store, &type, &memory, NULL), ATOLL_OK);
    struct rt_store *second;
    assert_int_equal(rt_store_new(w.engine, NULL, &second, NULL), ATOLL_OK);
    struct rt_module *module = load(&w, "(module (import \"\" \"m\" (memory 1)))");
    assert_int_equal(rt_instantiate(second, module, give_memory, memory, &instance, &w.err), ATOLL_E_USAGE);
    assert_non_null(strstr(w.err.text, "not shared"));
    /* nor does a shared one change engines */
    shared = shared_memory(&w, 1, 2, false);
    assert_int_equal(rt_memory_attach(other.store, shared, &w.err), ATOLL_E_USAGE);
    rt_module_unref(module);
    rt_store_free(second);
    close_world(&other);
    close_world(&w);
}

/* ---- waiting ---- */

static const char waiting[] =
    "(module " SHARED32
    "(func (export \"wait\") (param i32 i64) (result i32) (drop (i32.atomic.rmw.add (i32.const 0) (i32.const "
    "1)))"
    " (memory.atomic.wait32 (local.get 0) (i32.const 0) (local.get 1)))"
    "(func (export \"wait64\") (param i32 i64) (result i32) (drop (i32.atomic.rmw.add (i32.const 0) "
    "(i32.const 1)))"
    " (memory.atomic.wait64 (local.get 0) (i64.const 0) (local.get 1)))"
    "(func (export \"notify\") (param i32 i32) (result i32) (memory.atomic.notify (local.get 0) (local.get "
    "1)))"
    /* both sides of a game: the ball is at 64 and 68 */
    "(func (export \"play\") (param $me i32) (param $n i32) (result i32) (local $turns i32)"
    " (loop $l"
    "  (block $mine (loop $wait (br_if $mine (i32.eq (i32.atomic.load (i32.const 64)) (local.get $me)))"
    "   (drop (memory.atomic.wait32 (i32.const 64) (i32.sub (i32.const 1) (local.get $me)) (i64.const -1)))"
    "   (br $wait)))"
    "  (i32.store (i32.const 72) (i32.add (i32.load (i32.const 72)) (i32.const 1)))"
    "  (local.set $turns (i32.add (local.get $turns) (i32.const 1)))"
    "  (i32.atomic.store (i32.const 64) (i32.sub (i32.const 1) (local.get $me)))"
    "  (drop (memory.atomic.notify (i32.const 64) (i32.const 1)))"
    "  (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    " (local.get $turns)))";

/* `n` threads said that they are going to wait at `at`, and do: nobody is woken by a count of 0. Then the
 * count of those queued can only be seen by waking them, so the test tries until all were there. */
static uint32_t wake_at_least(struct rt_memory *memory, uint64_t at, uint32_t n) {
    uint32_t woken = 0, now;
    while (woken < n) {
        assert_int_equal(rt_memory_notify(memory, at, UINT32_MAX, &now), RT_TRAP_NONE);
        woken += now;
        if (!now) usleep(200);
    }
    return woken;
}

static void notify_wakes_those_who_wait(void **state) {
    struct world w;
    struct agent agents[THREADS] = {{0}};
    uint32_t woken;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, waiting);
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    for (int k = 0; k < THREADS; k++) {
        agents[k].args[0] = k % 2 ? 16 : 24;
        agents[k].args[1] = (uint64_t)-1;
        begin(&agents[k], module, memory, k % 3 ? "wait" : "wait64");
    }
    await32(memory, 0, THREADS);
    assert_int_equal(rt_memory_notify(memory, 16, 0, &woken), RT_TRAP_NONE);
    assert_int_equal(woken, 0);
    assert_int_equal(rt_memory_notify(memory, 20, UINT32_MAX, &woken), RT_TRAP_NONE);
    assert_int_equal(woken, 0); /* another address */
    assert_int_equal(wake_at_least(memory, 16, THREADS / 2), THREADS / 2);
    for (int k = 1; k < THREADS; k += 2) {
        end(&agents[k]);
        assert_int_equal(agents[k].result, 0);
    }
    assert_int_equal(wake_at_least(memory, 24, THREADS / 2), THREADS / 2);
    for (int k = 0; k < THREADS; k += 2) {
        end(&agents[k]);
        assert_int_equal(agents[k].status, ATOLL_OK);
        assert_int_equal(agents[k].result, 0);
    }
    rt_module_unref(module);
    close_world(&w);
}

/* Behind its last step before the wait a thread sleeps nowhere else. */
static void await_sleep(const struct agent *a) {
    char path[64], line[512], *state = NULL;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)a->tid);
    while (!state || state[2] != 'S') {
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof line, f));
        fclose(f);
        state = strrchr(line, ')');
        usleep(200);
    }
}

static void the_longest_waiting_is_woken_first(void **state) {
    struct world w;
    struct agent agents[THREADS] = {{0}};
    uint32_t woken;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module =
        load(&w, "(module " SHARED32 "(func (export \"queue\") (param i32) (result i32)"
                 " (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))"
                 " (drop (memory.atomic.wait32 (i32.const 16) (i32.const 0) (i64.const -1)))"
                 " (i32.atomic.rmw.add (i32.const 4) (i32.const 1))))");
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    for (int k = 0; k < THREADS; k++) {
        begin(&agents[k], module, memory, "queue");
        await32(memory, 0, (uint32_t)k + 1);
        await_sleep(&agents[k]);
    }
    for (uint32_t k = 0; k < THREADS; k++) {
        assert_int_equal(rt_memory_notify(memory, 16, 1, &woken), RT_TRAP_NONE);
        assert_int_equal(woken, 1);
        await32(memory, 4, k + 1);
    }
    for (uint32_t k = 0; k < THREADS; k++) {
        end(&agents[k]);
        assert_int_equal(agents[k].result, k);
    }
    rt_module_unref(module);
    close_world(&w);
}

/* Thousands of hand-overs, each a wait and a notify: one lost wake-up and the game never ends. */
static void ping_pong_loses_no_wake_up(void **state) {
    struct world w;
    struct agent a = {.args = {0, 20000}}, b = {.args = {1, 20000}};
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, waiting);
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    begin(&a, module, memory, "play");
    begin(&b, module, memory, "play");
    end(&a);
    end(&b);
    assert_int_equal(a.result, 20000);
    assert_int_equal(b.result, 20000);
    assert_int_equal(load32(memory, 72), 40000); /* plain accesses, ordered by the ball */
    rt_module_unref(module);
    close_world(&w);
}

static void waits_end_by_value_and_by_time(void **state) {
    struct world w;
    struct rt_instance *instance;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, waiting);
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    assert_int_equal(rt_instantiate(w.store, module, give_memory, memory, &instance, &w.err), ATOLL_OK);
    store32(memory, 16, 5);
    assert_int_equal(call(&w, instance, "wait", 16, (uint64_t)-1), 1);
    assert_int_equal(call(&w, instance, "wait64", 16, (uint64_t)-1), 1);
    assert_int_equal(call(&w, instance, "wait", 24, 0), 2);
    assert_int_equal(call(&w, instance, "wait64", 24, 3000000), 2);
    assert_int_equal(call(&w, instance, "notify", 24, 1), 0); /* nobody is left in the queue */
    assert_traps(&w, instance, "wait", 18, 0, 0, RT_TRAP_UNALIGNED_ATOMIC);
    assert_traps(&w, instance, "wait64", 20, 0, 0, RT_TRAP_UNALIGNED_ATOMIC);
    assert_traps(&w, instance, "wait", 65536, 0, 0, RT_TRAP_MEMORY_BOUNDS);
    assert_traps(&w, instance, "notify", 65536, 0, 0, RT_TRAP_MEMORY_BOUNDS);
    rt_module_unref(module);
    close_world(&w);
}

static void a_waiting_thread_can_be_stopped(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, waiting);
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    for (int round = 0; round < 100; round++) {
        struct agent a = {.args = {16, (uint64_t)-1}};
        uint32_t woken;
        begin(&a, module, memory, "wait");
        if (round % 2) await32(memory, 0, (uint32_t)round + 1); /* before or behind the wait's beginning */
        rt_store_interrupt(a.store, RT_INTERRUPT_TIMEOUT);
        end(&a);
        assert_int_equal(a.status, ATOLL_E_INTERRUPTED);
        assert_int_equal(a.trap, RT_TRAP_TIMEOUT);
        store32(memory, 0, (uint32_t)round + 1);
        assert_int_equal(rt_memory_notify(memory, 16, 1, &woken), RT_TRAP_NONE);
        assert_int_equal(woken, 0);
    }
    rt_module_unref(module);
    close_world(&w);
}

/* Stops, timeouts and notifications at the same moment: everybody ends, and nobody is counted twice. */
static void stops_and_notifications_may_cross(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(&w, waiting);
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    for (int round = 0; round < 60; round++) {
        struct agent agents[THREADS] = {{0}};
        uint32_t woken = 0, more, answered = 0;
        store32(memory, 0, 0);
        for (int k = 0; k < THREADS; k++) {
            agents[k].args[0] = 16;
            agents[k].args[1] = k % 3 == 0 ? 1000u * (unsigned)(round % 7) : (uint64_t)-1;
            begin(&agents[k], module, memory, "wait");
        }
        await32(memory, 0, THREADS);
        for (int k = 0; k < THREADS; k++) {
            if (k % 2) rt_store_interrupt(agents[k].store, RT_INTERRUPT_CANCEL);
            rt_memory_notify(memory, 16, 1, &more);
            woken += more;
        }
        for (int k = 0; k < THREADS; k++) rt_store_interrupt(agents[k].store, RT_INTERRUPT_CANCEL);
        for (int k = 0; k < THREADS; k++) {
            end(&agents[k]);
            if (!agents[k].status && !agents[k].result) answered++;
        }
        assert_true(answered <= woken); /* a stopped one may have been notified too */
    }
    rt_module_unref(module);
    close_world(&w);
}

/* ---- fuel ---- */

static void siblings_share_their_fuel(void **state) {
    struct world w;
    struct agent agents[THREADS] = {{0}};
    struct rt_config config = {.fuel = true};
    int64_t left = 3000000;
    (void)state;
    open_world(&w, &config, NULL);
    struct rt_module *module = load(
        &w, "(module " SHARED32 "(func (export \"burn\") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub "
            "(local.get 0) (i32.const 1)))))))");
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    w.store->fuel = left;
    for (int k = 0; k < THREADS; k++) {
        agents[k].sibling = w.store;
        agents[k].args[0] = 50000;
        begin(&agents[k], module, memory, "burn");
    }
    for (int k = 0; k < THREADS; k++) {
        end(&agents[k]);
        assert_int_equal(agents[k].status, ATOLL_OK);
    }
    assert_int_equal(w.store->fuel, 0);
    assert_in_range(w.store->budget->fuel, 1, left - THREADS * 50000);
    struct agent endless = {.sibling = w.store};
    begin(&endless, module, memory, "burn");
    end(&endless);
    assert_int_equal(endless.status, ATOLL_E_INTERRUPTED);
    assert_int_equal(endless.trap, RT_TRAP_OUT_OF_FUEL);
    assert_in_range(w.store->budget->fuel, 0, 10); /* less than the next block needs */
    rt_module_unref(module);
    close_world(&w);
}

/* ---- managed objects on threads ---- */

static void threads_allocate_managed_objects(void **state) {
    struct world w;
    struct agent agents[THREADS] = {{0}};
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* it holds back the signals by which libgc stops threads, until libgc gives up */
#endif
    open_world(&w, NULL, NULL);
    struct rt_module *module = load(
        &w, "(module " SHARED32 "(type $list (struct (field i32) (field (ref null $list)))) (tag $e (param "
            "i32))"
            "(func $build (param $n i32) (result i32) (local $l (ref null $list)) (local $sum i32)"
            " (loop $more (local.set $l (struct.new $list (local.get $n) (local.get $l)))"
            "  (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
            " (loop $next (local.set $sum (i32.add (local.get $sum) (struct.get $list 0 (local.get $l))))"
            "  (local.set $l (struct.get $list 1 (local.get $l)))"
            "  (br_if $next (i32.eqz (ref.is_null (local.get $l)))))"
            " (block $h (result i32) (try_table (catch $e $h) (throw $e (local.get $sum))) (unreachable)))"
            "(func (export \"run\") (param $rounds i32) (result i32) (local $sum i32)"
            " (loop $l (local.set $sum (i32.add (local.get $sum) (call $build (i32.const 1000))))"
            "  (br_if $l (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))"
            " (local.get $sum)))");
    struct rt_memory *memory = shared_memory(&w, 1, 2, false);
    for (int k = 0; k < THREADS; k++) {
        agents[k].args[0] = 100;
        begin(&agents[k], module, memory, "run");
    }
    for (int k = 0; k < THREADS; k++) {
        end(&agents[k]);
        assert_int_equal(agents[k].status, ATOLL_OK);
        assert_int_equal(agents[k].result, 100 * 500500);
    }
    rt_module_unref(module);
    close_world(&w);
}

int main(void) {
    install_fault_handlers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_on_threads_share_a_memory),
        cmocka_unit_test(racing_programs_harm_only_themselves),
        cmocka_unit_test(a_shared_memory_grows_on_all_threads),
        cmocka_unit_test(siblings_share_a_limit),
        cmocka_unit_test(a_shared_memory_outlives_its_store_while_it_is_held),
        cmocka_unit_test(a_memory_that_is_not_shared_stays_in_its_store),
        cmocka_unit_test(notify_wakes_those_who_wait),
        cmocka_unit_test(the_longest_waiting_is_woken_first),
        cmocka_unit_test(ping_pong_loses_no_wake_up),
        cmocka_unit_test(waits_end_by_value_and_by_time),
        cmocka_unit_test(a_waiting_thread_can_be_stopped),
        cmocka_unit_test(stops_and_notifications_may_cross),
        cmocka_unit_test(siblings_share_their_fuel),
        cmocka_unit_test(threads_allocate_managed_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
