/* tests/api/api_test.c: the C API as its users rely on it: ownership, identity, finalizers, traps, engines
 * side by side. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "atoll/atoll.h"

struct world {
    wasm_engine_t *engine;
    wasm_store_t *store;
};

static void open_world(struct world *w) {
    w->engine = wasm_engine_new();
    w->store = wasm_store_new(w->engine);
    assert_non_null(w->store);
}
static void close_world(struct world *w) {
    wasm_store_delete(w->store);
    wasm_engine_delete(w->engine);
}

static wasm_module_t *module_of(struct world *w, const char *text) {
    wasm_byte_vec_t bytes;
    char error[200] = "";
    wasm_byte_vec_new(&bytes, strlen(text), text);
    wasm_module_t *m = atoll_module_load(w->store, &bytes, "test", error, sizeof error);
    wasm_byte_vec_delete(&bytes);
    if (!m) fail_msg("%s", error);
    return m;
}
static wasm_instance_t *instance_of(struct world *w, const char *text, wasm_extern_vec_t *imports,
                                    wasm_trap_t **trap) {
    wasm_extern_vec_t none = WASM_EMPTY_VEC;
    wasm_module_t *m = module_of(w, text);
    wasm_instance_t *i = wasm_instance_new(w->store, m, imports ? imports : &none, trap);
    wasm_module_delete(m);
    return i;
}
static void assert_message(wasm_trap_t *trap, const char *text) {
    wasm_message_t message;
    assert_non_null(trap);
    wasm_trap_message(trap, &message);
    assert_non_null(strstr(message.data, text));
    wasm_byte_vec_delete(&message);
}

static void the_same_entity_is_the_same_object(void **state) {
    struct world w;
    wasm_extern_vec_t a, b;
    (void)state;
    open_world(&w);
    wasm_instance_t *i =
        instance_of(&w, "(module (func (export \"f\")) (memory (export \"m\") 1))", NULL, NULL);
    wasm_instance_exports(i, &a);
    wasm_instance_exports(i, &b);
    assert_true(wasm_extern_same(a.data[0], b.data[0]));
    assert_false(wasm_extern_same(a.data[0], a.data[1]));
    wasm_extern_set_host_info(a.data[0], &w);
    wasm_extern_vec_delete(&a);
    assert_ptr_equal(wasm_extern_get_host_info(b.data[0]), &w);
    assert_null(wasm_extern_as_memory(b.data[0]));
    assert_non_null(wasm_extern_as_memory(b.data[1]));
    assert_null(wasm_ref_as_instance(wasm_extern_as_ref(b.data[0])));
    wasm_extern_vec_delete(&b);
    wasm_instance_delete(i);
    close_world(&w);
}

static int finalized;
static void count_final(void *p) { finalized += p == &finalized; }
static wasm_trap_t *nothing(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)env, (void)args, (void)results;
    return NULL;
}

static void finalizers_run_once_and_no_later_than_the_store_ends(void **state) {
    struct world w;
    (void)state;
    finalized = 0;
    open_world(&w);
    wasm_functype_t *type = wasm_functype_new_0_0();
    wasm_func_t *f = wasm_func_new_with_env(w.store, type, nothing, &finalized, count_final);
    wasm_functype_delete(type);
    wasm_foreign_t *foreign = wasm_foreign_new(w.store);
    wasm_foreign_set_host_info_with_finalizer(foreign, &finalized, count_final);
    wasm_func_t *copy = wasm_func_copy(f);
    wasm_func_delete(f);
    wasm_foreign_delete(foreign);
    wasm_store_delete(w.store); /* the copy keeps the store */
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    assert_null(wasm_func_call(copy, &none, &none));
    assert_int_equal(finalized, 0);
    wasm_func_delete(copy);
    assert_int_equal(finalized, 2);
    wasm_engine_delete(w.engine);
}

static wasm_trap_t *refuse(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    wasm_message_t message;
    (void)args, (void)results;
    wasm_name_new_from_string_nt(&message, "refused");
    wasm_trap_t *trap = wasm_trap_new(env, &message);
    wasm_byte_vec_delete(&message);
    return trap;
}

/* Compiled from C (tests/fuzz/corpus/dwarf): percent calls ratio calls divide, the latter two inlined. */
static void a_frame_tells_its_source(void **state) {
    struct world w;
    char text[8192], error[200];
    wasm_trap_t *trap = NULL;
    wasm_byte_vec_t bytes;
    wasm_extern_vec_t exports, imports = WASM_EMPTY_VEC;
    struct atoll_source sources[4];
    wasm_val_t values[2] = {WASM_I32_VAL(1), WASM_I32_VAL(0)}, result[1] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(values), results = WASM_ARRAY_VEC(result);
    (void)state;
    FILE *f = fopen(ATOLL_DEBUG_PROGRAM, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    open_world(&w);
    assert_true(atoll_assemble(text, n, &bytes, error, sizeof error));
    wasm_module_t *m = wasm_module_new(w.store, &bytes);
    wasm_instance_t *i = wasm_instance_new(w.store, m, &imports, NULL);
    wasm_instance_exports(i, &exports);
    trap = wasm_func_call(wasm_extern_as_func(exports.data[1]), &args, &results);
    assert_message(trap, "integer divide by zero");
    wasm_frame_t *frame = wasm_trap_origin(trap);
    assert_int_equal(atoll_frame_source(frame, sources, 4), 3);
    assert_string_equal(sources[0].function, "divide");
    assert_string_equal(sources[0].file, "ratio.c");
    assert_null(sources[0].directory);
    assert_int_equal(sources[0].line, 2);
    assert_int_equal(sources[0].column, 14);
    assert_string_equal(sources[2].function, "percent");
    assert_int_equal(sources[2].line, 10);
    assert_int_equal(atoll_frame_source(frame, sources, 1), 1);
    assert_int_equal(atoll_frame_source(frame, sources, 0), 0);
    wasm_frame_delete(frame);
    wasm_trap_delete(trap);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    wasm_byte_vec_delete(&bytes);
    close_world(&w);
}

static void a_hosts_trap_comes_back_with_frames(void **state) {
    struct world w;
    wasm_extern_vec_t exports;
    wasm_frame_vec_t trace;
    (void)state;
    open_world(&w);
    wasm_functype_t *type = wasm_functype_new_0_0();
    wasm_func_t *host = wasm_func_new_with_env(w.store, type, refuse, w.store, NULL);
    wasm_functype_delete(type);
    wasm_extern_t *externs[] = {wasm_func_as_extern(host)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(externs);
    wasm_instance_t *i = instance_of(
        &w, "(module (import \"\" \"f\" (func $f)) (func $g (call $f)) (func (export \"h\") (call $g)))",
        &imports, NULL);
    wasm_instance_exports(i, &exports);
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    wasm_trap_t *trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &none, &none);
    assert_message(trap, "refused");
    assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_HOST);
    wasm_trap_trace(trap, &trace);
    assert_int_equal(trace.size, 2);
    assert_int_equal(wasm_frame_func_index(trace.data[0]), 1);
    assert_int_equal(wasm_frame_func_index(trace.data[1]), 2);
    assert_true(wasm_instance_same(wasm_frame_instance(trace.data[0]), i));
    wasm_frame_vec_delete(&trace);
    wasm_trap_delete(trap);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_func_delete(host);
    close_world(&w);
}

static void what_does_not_fit_is_told(void **state) {
    struct world w;
    wasm_trap_t *trap;
    wasm_extern_vec_t exports;
    (void)state;
    open_world(&w);
    assert_null(instance_of(&w, "(module (import \"a\" \"b\" (func)))", NULL, &trap));
    assert_message(trap, "unknown import: a.b");
    assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_LINK);
    wasm_trap_delete(trap);
    assert_null(instance_of(&w, "(module (func $s unreachable) (start $s))", NULL, &trap));
    assert_message(trap, "unreachable");
    assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_PROGRAM);
    wasm_trap_delete(trap);
    wasm_byte_vec_t bytes;
    wasm_byte_vec_new(&bytes, 8, "\0asm\1\0\0\1");
    assert_null(wasm_module_new(w.store, &bytes));
    assert_false(wasm_module_validate(w.store, &bytes));
    bytes.data[7] = 0;
    assert_true(wasm_module_validate(w.store, &bytes));
    wasm_byte_vec_delete(&bytes);
    wasm_instance_t *i = instance_of(
        &w, "(module (func (export \"f\") (param i32)) (global (export \"g\") (mut i64) (i64.const 1)))",
        NULL, NULL);
    wasm_instance_exports(i, &exports);
    wasm_val_t wrong[] = {WASM_F64_VAL(1.5)};
    wasm_val_vec_t args = WASM_ARRAY_VEC(wrong), none = WASM_EMPTY_VEC;
    trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &args, &none);
    assert_message(trap, "not of its parameter's type");
    wasm_trap_delete(trap);
    trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &none, &none);
    assert_message(trap, "wrong number");
    wasm_trap_delete(trap);
    wasm_val_t value;
    wasm_global_set(wasm_extern_as_global(exports.data[1]), &wrong[0]);
    wasm_global_get(wasm_extern_as_global(exports.data[1]), &value);
    assert_int_equal(value.of.i64, 1);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    close_world(&w);
}

static void managed_objects_are_references_that_keep_them(void **state) {
    struct world w;
    wasm_extern_vec_t exports;
    (void)state;
    open_world(&w);
    wasm_instance_t *i =
        instance_of(&w,
                    "(module (type $s (struct (field i32))) (func (export \"make\") (param i32) (result "
                    "anyref) (struct.new $s (local.get 0)))"
                    "(func (export \"read\") (param anyref) (result i32) (struct.get $s 0 (ref.cast (ref $s) "
                    "(local.get 0))))"
                    "(func (export \"same\") (param externref) (result externref) (local.get 0)))",
                    NULL, NULL);
    wasm_instance_exports(i, &exports);
    for (int32_t n = 0; n < 1000; n++) {
        wasm_val_t number[] = {WASM_I32_VAL(n)}, object[] = {WASM_INIT_VAL}, back[] = {WASM_INIT_VAL};
        wasm_val_vec_t in = WASM_ARRAY_VEC(number), made = WASM_ARRAY_VEC(object), out = WASM_ARRAY_VEC(back);
        assert_null(wasm_func_call(wasm_extern_as_func(exports.data[0]), &in, &made));
        assert_null(wasm_func_call(wasm_extern_as_func(exports.data[1]), &made, &out));
        assert_int_equal(back[0].of.i32, n);
        wasm_val_delete(&object[0]);
    }
    wasm_foreign_t *foreign = wasm_foreign_new(w.store);
    wasm_val_t ref[] = {WASM_REF_VAL(wasm_foreign_as_ref(foreign))}, back[] = {WASM_INIT_VAL};
    wasm_val_vec_t in = WASM_ARRAY_VEC(ref), out = WASM_ARRAY_VEC(back);
    assert_null(wasm_func_call(wasm_extern_as_func(exports.data[2]), &in, &out));
    assert_true(wasm_ref_same(back[0].of.ref, ref[0].of.ref));
    wasm_val_delete(&back[0]);
    wasm_trap_t *trap = wasm_func_call(wasm_extern_as_func(exports.data[1]), &in, &out); /* no struct */
    assert_message(trap, "cast failure");
    wasm_trap_delete(trap);
    wasm_foreign_delete(foreign);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    close_world(&w);
}

static void *run_engine(void *unused) {
    struct world w;
    wasm_extern_vec_t exports;
    open_world(&w);
    wasm_instance_t *i =
        instance_of(&w,
                    "(module (func $f (export \"f\") (param i32) (result i32) (if (result i32) (local.get 0)"
                    " (then (i32.add (i32.const 2) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else "
                    "(i32.const 0)))))",
                    NULL, NULL);
    wasm_instance_exports(i, &exports);
    wasm_val_t in[] = {WASM_I32_VAL(500)}, out[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(in), results = WASM_ARRAY_VEC(out);
    for (int k = 0; k < 100; k++)
        assert_null(wasm_func_call(wasm_extern_as_func(exports.data[0]), &args, &results));
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    close_world(&w);
    return out[0].of.i32 == 1000 ? unused : NULL;
}

static void engines_live_side_by_side(void **state) {
    pthread_t threads[4];
    (void)state;
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_engine, threads), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, threads);
    }
}

struct failing {
    unsigned long until_failure;
    bool failed;
    long live;
};
static void *resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct failing *f = context;
    (void)old_size;
    if (new_size && f->until_failure && !--f->until_failure) {
        f->failed = true;
        return NULL;
    }
    f->live += (new_size != 0) - (p != NULL);
    if (new_size) return realloc(p, new_size);
    free(p);
    return NULL;
}

/* The engine's allocations fail one after the other: NULL or a trap comes back, and nothing is left. */
static void every_failed_allocation_is_an_answer(void **state) {
    struct failing f = {.failed = true};
    struct atoll_alloc alloc = {resize, &f};
    (void)state;
    for (unsigned long n = 1; f.failed; n++) {
        f = (struct failing){.until_failure = n};
        wasm_config_t *config = wasm_config_new();
        atoll_config_allocator(config, &alloc);
        struct world w = {.engine = wasm_engine_new_with_config(config)};
        w.store = w.engine ? wasm_store_new(w.engine) : NULL;
        const char text[] =
            "(module (memory 1) (table 2 funcref) (func (export \"f\") (result i32) (i32.const 5)))";
        wasm_byte_vec_t bytes;
        wasm_byte_vec_new(&bytes, sizeof text - 1, text);
        wasm_module_t *m = w.store ? atoll_module_load(w.store, &bytes, NULL, NULL, 0) : NULL;
        wasm_byte_vec_delete(&bytes);
        wasm_extern_vec_t none = WASM_EMPTY_VEC, exports = WASM_EMPTY_VEC;
        wasm_trap_t *trap = NULL;
        wasm_instance_t *i = m ? wasm_instance_new(w.store, m, &none, &trap) : NULL;
        if (i) wasm_instance_exports(i, &exports);
        if (exports.size) {
            wasm_val_t out[] = {WASM_INIT_VAL};
            wasm_val_vec_t args = WASM_EMPTY_VEC, results = WASM_ARRAY_VEC(out);
            trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &args, &results);
            if (!trap) assert_int_equal(out[0].of.i32, 5);
        }
        if (!f.failed) assert_int_equal(exports.size, 1);
        wasm_trap_delete(trap);
        wasm_extern_vec_delete(&exports);
        wasm_instance_delete(i);
        wasm_module_delete(m);
        wasm_store_delete(w.store);
        wasm_engine_delete(w.engine);
        assert_int_equal(f.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_entity_is_the_same_object),
        cmocka_unit_test(finalizers_run_once_and_no_later_than_the_store_ends),
        cmocka_unit_test(a_hosts_trap_comes_back_with_frames),
        cmocka_unit_test(a_frame_tells_its_source),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(managed_objects_are_references_that_keep_them),
        cmocka_unit_test(engines_live_side_by_side),
        cmocka_unit_test(every_failed_allocation_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
