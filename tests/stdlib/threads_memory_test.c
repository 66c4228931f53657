/* tests/stdlib/threads_memory_test.c: a program with threads, in which the 1st, 2nd, 3rd ... allocation
 * fails, on whatever thread: the program ends with an answer, every thread too, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "interp/interp.h"
#include "stdlib/stdlib.h"

struct failing {
    atomic_long until_failure; /* the allocation that makes it 0 fails */
    atomic_bool failed;
    atomic_long live_bytes;
};

static void *resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct failing *f = context;
    void *q = NULL;
    if (new_size && atomic_fetch_sub(&f->until_failure, 1) == 1) {
        f->failed = true;
        return NULL;
    }
    if (new_size) {
        q = realloc(p, new_size);
        if (!q) return NULL;
    } else {
        free(p);
    }
    f->live_bytes += (long)new_size - (long)(p ? old_size : 0);
    return q;
}

/* Three threads, one started by another; each has a table and a memory of its own. Who cannot be started is
 * not waited for. */
static const char program[] =
    "(module (import \"wasi\" \"thread-spawn\" (func $spawn (param i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"sched_yield\" (func $yield (result i32)))"
    " (import \"env\" \"memory\" (memory 1 2 shared)) (memory $own 1) (table 100 funcref)"
    " (func $count (drop (i32.atomic.rmw.sub (i32.const 0) (i32.const 1)))"
    "  (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))"
    " (func $begin (param i32) (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))"
    "  (if (i32.lt_s (call $spawn (local.get 0)) (i32.const 0)) (then (call $count))))"
    " (func (export \"wasi_thread_start\") (param i32 i32)"
    "  (drop (memory.grow $own (i32.const 1))) (drop (table.grow (ref.null func) (i32.const 100)))"
    "  (if (i32.eq (local.get 1) (i32.const 1)) (then (call $begin (i32.const 2))))"
    "  (drop (call $yield)) (call $count))"
    " (func (export \"_start\") (local $n i32)"
    "  (call $begin (i32.const 1)) (call $begin (i32.const 3))"
    "  (loop $wait (if (local.tee $n (i32.atomic.load (i32.const 0))) (then"
    "   (drop (memory.atomic.wait32 (i32.const 0) (local.get $n) (i64.const -1))) (br $wait))))))";

struct world {
    struct rt_engine *engine;
    struct rt_store *store;
    struct sandbox *sandbox;
    struct wasi *wasi;
    struct wasi_threads *threads;
    struct rt_module *module;
};

static bool resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    struct world *w = context;
    if (wasi_resolve(w->wasi, module, import, out)) return true;
    return w->threads && wasi_threads_resolve(w->threads, module, import, out);
}

static enum atoll_status prepare(struct world *w, const struct atoll_alloc *alloc, struct atoll_error *err) {
    struct rt_config config = {.alloc = alloc, .tier = &interp_tier};
    struct wasi_config world = {.stdio = {-1, -1, -1}};
    const uint8_t *text = (const uint8_t *)program;
    enum atoll_status status = rt_engine_new(&config, &w->engine, err);
    if (!status) status = rt_store_new(w->engine, NULL, &w->store, err);
    if (!status) status = sb_new(&(struct sb_config){.alloc = alloc}, &w->sandbox, err);
    if (!status) status = wasi_new(w->store, w->sandbox, &world, &w->wasi, err);
    if (!status) status = rt_module_load(w->engine, text, strlen(program), false, "program", &w->module, err);
    if (!status) status = wasi_threads_new(w->wasi, w->module, resolve, w, NULL, 8, &w->threads, err);
    return status;
}

static enum atoll_status run(struct world *w, struct atoll_error *err) {
    struct rt_instance *instance;
    struct rt_extern start;
    union rt_slot slots[1];
    struct rt_store *told;
    uint32_t tid;
    enum atoll_status status = rt_instantiate(w->store, w->module, resolve, w, &instance, err);
    if (!status) {
        assert_true(rt_instance_export(instance, "_start", 6, &start));
        status = rt_call(w->store, start.func, slots, err);
    }
    return wasi_threads_end(w->threads, status, err, &told, &tid);
}

static enum atoll_status live_once(const struct atoll_alloc *alloc) {
    struct world w = {0};
    struct atoll_error err = {0};
    enum atoll_status status = prepare(&w, alloc, &err);
    if (!status) status = run(&w, &err);
    wasi_threads_free(w.threads);
    if (w.module) rt_module_unref(w.module);
    wasi_free(w.wasi);
    sb_free(w.sandbox);
    if (w.store) rt_store_free(w.store);
    rt_engine_unref(w.engine);
    return status;
}

static void every_failed_allocation_is_an_answer(void **state) {
    struct failing f = {0};
    struct atoll_alloc alloc = {resize, &f};
    (void)state;
    for (long n = 1;; n++) {
        f.until_failure = n;
        f.failed = false;
        enum atoll_status status = live_once(&alloc);
        assert_int_equal(f.live_bytes, 0);
        assert_true(status == ATOLL_OK || status == ATOLL_E_NOMEM || status == ATOLL_E_TRAP);
        if (!f.failed) { /* all that is ever allocated was */
            assert_int_equal(status, ATOLL_OK);
            assert_in_range(n, 100, 5000);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failed_allocation_is_an_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
