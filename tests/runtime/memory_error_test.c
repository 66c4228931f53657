/* tests/runtime/memory_error_test.c: the 1st, 2nd, 3rd ... allocation fails. Each time the answer is "out of
 * memory" (or a refused growth), nothing leaks, and the next try without a failure works. */
#include "tests/runtime/fixture.h"

struct failing {
    unsigned long until_failure; /* 0 = never again */
    bool failed;
    long live_bytes, live_blocks;
};

static void *resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct failing *f = context;
    if (new_size && f->until_failure && !--f->until_failure) {
        f->failed = true;
        return NULL;
    }
    void *q = NULL;
    if (new_size) {
        q = realloc(p, new_size);
        if (!q) return NULL;
    } else {
        free(p);
    }
    f->live_bytes += (long)new_size - (long)(p ? old_size : 0);
    f->live_blocks += (new_size != 0) - (p != NULL);
    return q;
}

/* From text to a result, with memory, tables, segments, growth, exceptions. */
static const char program[] = "(module $m (type $f (func (param i32) (result i32))) (memory 1 10) (table $t "
                              "3 funcref) (elem (i32.const 0) $a $b)"
                              "(elem $passive func $a $b) (data (i32.const 8) \"some data\") (data $late "
                              "\"more\") (global $g (mut i64) (i64.const 1))"
                              "(tag $e (param i32)) (export \"run\" (func $run))"
                              "(func $a (type $f) (i32.add (local.get 0) (i32.const 1)))"
                              "(func $b (type $f) (block $h (result i32) (try_table (catch $e $h) (throw $e "
                              "(local.get 0))) (unreachable)))"
                              "(func $run (param i32) (result i32) (local $x i32)"
                              " (drop (memory.grow (i32.const 1)))"
                              " (drop (table.grow $t (ref.null func) (i32.const 5000)))"
                              " (table.init $t $passive (i32.const 1) (i32.const 0) (i32.const 2))"
                              " (memory.init $late (i32.const 100) (i32.const 0) (i32.const 4))"
                              " (i32.add (call_indirect $t (type $f) (local.get 0) (i32.const 0))"
                              "   (i32.add (call $b (local.get 0)) (i32.load8_u (i32.const 100))))))";

/* 0 = it worked; else the status of what failed. */
static enum atoll_status live_once(const struct atoll_alloc *alloc) {
    struct rt_config config = {.alloc = alloc, .tier = &interp_tier};
    struct rt_engine *engine = NULL;
    struct rt_store *store = NULL;
    struct rt_module *module = NULL;
    struct rt_instance *instance = NULL;
    struct atoll_error err = {0};
    union rt_slot slots[1] = {{.u64 = 20}};
    enum atoll_status status = rt_engine_new(&config, &engine, &err);
    if (!status) status = rt_store_new(engine, NULL, &store, &err);
    if (!status)
        status = rt_module_load(engine, (const uint8_t *)program, strlen(program), false, "m", &module, &err);
    if (!status) status = rt_instantiate(store, module, NULL, NULL, &instance, &err);
    if (!status) {
        struct rt_extern e;
        assert_true(rt_instance_export(instance, "run", 3, &e));
        status = rt_call(store, e.func, slots, &err);
        if (!status) assert_int_equal(slots[0].u32, 21 + 20 + 'm');
        /* inside a run it is a trap of its own, and a growth may be refused */
        if (status) assert_true(store->trap == RT_TRAP_OUT_OF_MEMORY || store->trap == RT_TRAP_TABLE_BOUNDS);
        if (status) status = ATOLL_E_NOMEM;
    }
    if (status && status != ATOLL_E_NOMEM) fail_msg("%d: %s", status, err.text);
    rt_module_unref(module);
    rt_store_free(store);
    rt_engine_unref(engine);
    return status;
}

/* The way once for each of its allocations, which fails; returns how many it has. */
static unsigned long fail_each(enum atoll_status (*way)(const struct atoll_alloc *alloc)) {
    struct failing f = {0};
    struct atoll_alloc alloc = {resize, &f};
    for (unsigned long n = 1;; n++) {
        f = (struct failing){.until_failure = n};
        way(&alloc);
        assert_int_equal(f.live_blocks, 0);
        assert_int_equal(f.live_bytes, 0); /* sizes given back are those taken */
        if (!f.failed) return n;
        f.until_failure = 0;
        assert_int_equal(way(&alloc), ATOLL_OK);
        assert_int_equal(f.live_bytes, 0);
    }
}

static void every_failed_allocation_is_told_and_nothing_leaks(void **state) {
    (void)state;
    assert_true(fail_each(live_once) > 50);
}

/* The tools' way: text, bytes, text again. */
static enum atoll_status print_once(const struct atoll_alloc *alloc) {
    struct bc_config config = {.alloc = alloc};
    struct bc_buf bytes, text, written;
    struct bc_module *m = NULL;
    struct atoll_error err = {0};
    bc_buf_init(&bytes, alloc);
    bc_buf_init(&text, alloc);
    bc_buf_init(&written, alloc);
    enum atoll_status status = bc_text_assemble(program, strlen(program), &config, &bytes, NULL, &err);
    if (!status && bytes.failed) status = ATOLL_E_NOMEM;
    if (!status) status = bc_module_decode(bytes.data, bytes.size, &config, &m, &err);
    if (!status) status = bc_module_validate(m, &config, &err);
    if (!status) status = bc_text_print(m, &(struct bc_print_options){.fold = true}, &text, &err);
    if (!status) status = bc_module_write(m, &written, &err);
    if (!status)
        status = bc_module_dump(m, &(struct bc_dump_options){true, true, true, true, NULL}, &text, &err);
    if (status && status != ATOLL_E_NOMEM) fail_msg("%d: %s", status, err.text);
    bc_module_free(m);
    bc_buf_fini(&bytes);
    bc_buf_fini(&text);
    bc_buf_fini(&written);
    return status;
}

static void the_tools_survive_every_failed_allocation(void **state) {
    (void)state;
    assert_true(fail_each(print_once) > 50);
}

int main(void) {
    install_fault_handlers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_told_and_nothing_leaks),
        cmocka_unit_test(the_tools_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
