/* tests/jit/restore_test.c: of much saved code, each function is read when it is called first; what cannot be read is
 * interpreted. */
#include "tests/runtime/fixture.h"

#include <inttypes.h>
#include <pthread.h>

enum { FUNCTIONS = 2000 };

/* f0 .. call nothing; "all" calls each of them, "two" the first and the last. */
static char *make_program(void) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fputs("(module (memory 1)", f);
    for (int i = 0; i < FUNCTIONS; i++)
        fprintf(f,
                "(func $f%d (export \"f%d\") (param i64) (result i64) (local i64)"
                " (loop (local.set 1 (i64.xor (i64.add (local.get 1) (local.get 0)) (i64.const %d)))"
                "  (i64.store (i32.const 8) (local.get 1))"
                "  (local.set 1 (i64.mul (i64.load (i32.const 8)) (i64.const 77777777777)))"
                "  (br_if 0 (i64.ne (i64.const 0) (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))"
                " (memory.fill (i32.const 16) (i32.const %d) (i32.const 8))"
                " (i64.add (local.get 1) (i64.load (i32.const 16))))",
                i, i, i, i);
    fputs("(func (export \"all\") (param $n i64) (result i64) (local $sum i64)", f);
    for (int i = 0; i < FUNCTIONS; i++)
        fprintf(f, "(local.set $sum (i64.add (local.get $sum) (call $f%d (local.get $n))))", i);
    fprintf(f,
            "(local.get $sum)) (func (export \"two\") (param i64) (result i64)"
            " (i64.add (call $f0 (local.get 0)) (call $f%d (local.get 0)))))",
            FUNCTIONS - 1);
    assert_int_equal(fclose(f), 0);
    return text;
}

struct saved {
    struct bc_buf head, body;
    uint64_t broken_from, broken_to; /* bytes that cannot be had */
    _Atomic unsigned n_reads;
    _Atomic bool reading; /* one at a time */
};

static bool read_body(void *context, uint64_t at, size_t n, uint8_t *out) {
    struct saved *s = context;
    assert_false(atomic_exchange(&s->reading, true));
    atomic_fetch_add(&s->n_reads, 1);
    assert_true(n <= s->body.size && at <= s->body.size - n);
    bool ok = at >= s->broken_to || at + n <= s->broken_from;
    if (ok) memcpy(out, s->body.data + at, n);
    atomic_store(&s->reading, false);
    return ok;
}

static uint64_t fill(struct saved *s, const char *text) {
    struct world w;
    *s = (struct saved){0};
    bc_buf_init(&s->head, &atoll_default_alloc);
    bc_buf_init(&s->body, &atoll_default_alloc);
    open_world(&w, &(struct rt_config){.tier = &jit_tier, .keep_code = true}, NULL);
    struct rt_instance *instance = start(&w, text, NULL);
    uint64_t result = call(&w, instance, "all", 5, 0);
    assert_int_equal(jit_save(instance->module, &s->head, &s->body, &w.err), ATOLL_OK);
    assert_true(s->body.size > 300000);
    close_world(&w);
    return result;
}

static void empty(struct saved *s) {
    bc_buf_fini(&s->head);
    bc_buf_fini(&s->body);
}

static struct rt_module *restored(struct world *w, const char *text, struct saved *s) {
    struct rt_module *module = load(w, text);
    const struct jit_saved saved = {s->head.data, s->head.size, read_body, s};
    assert_int_equal(jit_restore(module, &saved, &w->err), ATOLL_OK);
    return module;
}

static struct jit_stats stats_of(const struct rt_module *module) {
    struct jit_stats stats;
    jit_module_stats(module, &stats);
    return stats;
}

static const struct rt_tier *const tiers[] = {&jit_tier, &auto_tier};

static void a_function_is_read_at_its_first_call(void **state) {
    char *text = make_program();
    struct saved s;
    (void)state;
    uint64_t result = fill(&s, text);
    for (int t = 0; t < 2; t++) {
        struct world w;
        struct rt_instance *instance;
        open_world(&w, &(struct rt_config){.tier = tiers[t]}, NULL);
        struct rt_module *module = restored(&w, text, &s);
        assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_OK);
        assert_int_equal(stats_of(module).n_restored, FUNCTIONS + 2);
        atomic_store(&s.n_reads, 0);
        uint64_t f7 = call(&w, instance, "f7", 3, 0);
        assert_int_equal(atomic_load(&s.n_reads), 1);
        assert_int_equal(call(&w, instance, "f7", 3, 0), f7);
        assert_int_equal(atomic_load(&s.n_reads), 1);
        call(&w, instance, "two", 3, 0);
        assert_int_equal(atomic_load(&s.n_reads), 4);
        assert_int_equal(call(&w, instance, "all", 5, 0), result);
        assert_int_equal(atomic_load(&s.n_reads), FUNCTIONS + 2);
        /* another instance finds it in its place */
        assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_OK);
        assert_int_equal(call(&w, instance, "all", 5, 0), result);
        assert_int_equal(atomic_load(&s.n_reads), FUNCTIONS + 2);
        assert_int_equal(stats_of(module).n_compiled, FUNCTIONS + 2);
        rt_module_unref(module);
        close_world(&w);
    }
    empty(&s);
    free(text);
}

static void what_cannot_be_read_is_compiled_again(void **state) {
    char *text = make_program();
    struct saved s;
    (void)state;
    uint64_t result = fill(&s, text);
    for (int t = 0; t < 2; t++) {
        struct world w;
        struct rt_instance *instances[2];
        open_world(&w, &(struct rt_config){.tier = tiers[t]}, NULL);
        struct rt_module *module = restored(&w, text, &s);
        for (int i = 0; i < 2; i++)
            assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instances[i], &w.err), ATOLL_OK);
        s.broken_from = s.body.size / 2;
        s.broken_to = s.broken_from + 2000;
        for (int i = 0; i < 2; i++) assert_int_equal(call(&w, instances[i], "all", 5, 0), result);
        assert_in_range(stats_of(module).n_restored, FUNCTIONS - 20, FUNCTIONS);
        unsigned n_broken = 0;
        for (uint32_t i = 0; i < FUNCTIONS + 2; i++) {
            const char *why = jit_declined(module, i);
            n_broken += why && !strcmp(why, "its saved code is broken");
        }
        assert_int_equal(n_broken, 0); /* by auto when it is hot */
        if (tiers[t] == &jit_tier) assert_int_equal(stats_of(module).n_compiled, FUNCTIONS + 2);
        if (tiers[t] == &jit_tier) assert_int_equal(stats_of(module).n_declined, 0);
        /* none of it can be had any more, nor what has not been called */
        s.broken_from = 0;
        s.broken_to = s.body.size;
        for (int i = 0; i < 2; i++) assert_int_equal(call(&w, instances[i], "all", 5, 0), result);
        rt_module_unref(module);
        close_world(&w);
        s.broken_to = 0;
    }
    empty(&s);
    free(text);
}

static void what_waits_is_saved_again(void **state) {
    char *text = make_program();
    struct saved s, again = {0};
    struct world w;
    struct rt_instance *instance;
    (void)state;
    uint64_t result = fill(&s, text);
    open_world(&w, &(struct rt_config){.tier = &jit_tier, .keep_code = true}, NULL);
    struct rt_module *module = restored(&w, text, &s);
    assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_OK);
    for (int called = 0; called < 2; called++) {
        if (called) call(&w, instance, "two", 4, 0);
        bc_buf_init(&again.head, &atoll_default_alloc);
        bc_buf_init(&again.body, &atoll_default_alloc);
        assert_int_equal(jit_save(module, &again.head, &again.body, &w.err), ATOLL_OK);
        assert_int_equal(again.body.size, s.body.size);
        assert_memory_equal(again.head.data, s.head.data, s.head.size);
        if (!called) assert_memory_equal(again.body.data, s.body.data, s.body.size);
        struct world other;
        open_world(&other, &(struct rt_config){.tier = &jit_tier}, NULL);
        struct rt_module *copy = restored(&other, text, &again);
        struct rt_instance *theirs;
        assert_int_equal(rt_instantiate(other.store, copy, NULL, NULL, &theirs, &other.err), ATOLL_OK);
        assert_int_equal(call(&other, theirs, "all", 5, 0), result);
        rt_module_unref(copy);
        close_world(&other);
        empty(&again);
    }
    rt_module_unref(module);
    close_world(&w);
    empty(&s);
    free(text);
}

/* What was made by another build, is cut, or names other functions. */
static void a_head_that_does_not_fit_is_of_no_use(void **state) {
    char *text = make_program();
    struct saved s;
    (void)state;
    uint64_t result = fill(&s, text);
    const size_t places[] = {0, 33, 60, 80, s.head.size - 16, s.head.size - 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct world w;
        struct rt_instance *instance;
        bool cut = places[i] == SIZE_MAX;
        if (cut)
            s.head.size -= 8;
        else
            s.head.data[places[i]] ^= 0x40;
        open_world(&w, &(struct rt_config){.tier = &auto_tier}, NULL);
        struct rt_module *module = restored(&w, text, &s);
        assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_OK);
        if (stats_of(module).n_restored) fail_msg("the byte at %zu was not looked at", places[i]);
        assert_int_equal(call(&w, instance, "all", 5, 0), result);
        rt_module_unref(module);
        close_world(&w);
        if (!cut) s.head.data[places[i]] ^= 0x40;
    }
    assert_int_equal(atomic_load(&s.n_reads), 0);
    empty(&s);
    free(text);
}

struct runner {
    struct rt_engine *engine;
    struct rt_module *module;
    uint64_t result;
};

static void *run_alone(void *context) {
    const struct runner *r = context;
    struct world w = {.engine = r->engine};
    struct rt_instance *instance;
    assert_int_equal(rt_store_new(r->engine, NULL, &w.store, &w.err), ATOLL_OK);
    assert_int_equal(rt_instantiate(w.store, r->module, NULL, NULL, &instance, &w.err), ATOLL_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(call(&w, instance, "all", 5, 0), r->result);
    rt_store_free(w.store);
    return NULL;
}

/* The same functions, called first by several threads at once, while what cannot be read is compiled again. */
static void threads_share_what_is_read(void **state) {
    enum { THREADS = 4 };
    char *text = make_program();
    struct saved s;
    (void)state;
    struct runner r = {.result = fill(&s, text)};
    s.broken_from = s.body.size / 3;
    s.broken_to = s.broken_from + 5000;
    for (int t = 0; t < 2; t++) {
        struct world w = {0};
        pthread_t threads[THREADS];
        assert_int_equal(rt_engine_new(&(struct rt_config){.tier = tiers[t]}, &w.engine, &w.err), ATOLL_OK);
        r.engine = w.engine;
        r.module = restored(&w, text, &s);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_alone, &r), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        assert_in_range(stats_of(r.module).n_restored, FUNCTIONS - 50, FUNCTIONS);
        rt_module_unref(r.module);
        rt_engine_unref(w.engine);
    }
    empty(&s);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_is_read_at_its_first_call),
        cmocka_unit_test(what_cannot_be_read_is_compiled_again),
        cmocka_unit_test(what_waits_is_saved_again),
        cmocka_unit_test(a_head_that_does_not_fit_is_of_no_use),
        cmocka_unit_test(threads_share_what_is_read),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
