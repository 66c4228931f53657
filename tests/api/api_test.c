/* tests/api/api_test.c: the C API as its users rely on it: ownership, identity, finalizers, traps, engines
 * side by side. */
#include "tests/api/world.h"
#include <pthread.h>

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
static wasm_func_t *host_func(struct world *w, wasm_func_callback_with_env_t callback, void *env,
                              void (*finalizer)(void *)) {
    wasm_functype_t *type = wasm_functype_new_0_0();
    wasm_func_t *f = wasm_func_new_with_env(w->store, type, callback, env, finalizer);
    wasm_functype_delete(type);
    return f;
}

static void finalizers_run_once_when_the_store_is_deleted(void **state) {
    struct world w;
    (void)state;
    finalized = 0;
    open_world(&w);
    wasm_func_t *f = host_func(&w, nothing, &finalized, count_final);
    wasm_foreign_t *foreign = wasm_foreign_new(w.store);
    wasm_foreign_set_host_info_with_finalizer(foreign, &finalized, count_final);
    wasm_func_t *copy = wasm_func_copy(f);
    wasm_func_delete(f);
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    assert_null(wasm_func_call(copy, &none, &none));
    assert_int_equal(finalized, 0);
    wasm_store_delete(w.store); /* the copies keep what the store holds, not what finalizers ended */
    assert_int_equal(finalized, 2);
    assert_null(wasm_foreign_get_host_info(foreign));
    wasm_trap_t *trap = wasm_func_call(copy, &none, &none);
    assert_message(trap, "behind the end of its store");
    wasm_trap_delete(trap);
    wasm_foreign_delete(foreign);
    wasm_func_delete(copy);
    assert_int_equal(finalized, 2);
    wasm_engine_delete(w.engine);
}

static void delete_foreign(void *p) {
    finalized++;
    wasm_foreign_delete(p);
}

/* What an environment owns may be objects of the same store, even the only ones left. */
static void a_finalizer_may_own_objects_of_its_store(void **state) {
    struct counting c = {0};
    struct atoll_alloc alloc = {count_resize, &c};
    (void)state;
    finalized = 0;
    wasm_config_t *config = wasm_config_new();
    atoll_config_allocator(config, &alloc);
    struct world w = {.engine = wasm_engine_new_with_config(config)};
    w.store = wasm_store_new(w.engine);
    wasm_func_t *f = host_func(&w, nothing, wasm_foreign_new(w.store), delete_foreign);
    wasm_foreign_t *keeper = wasm_foreign_new(w.store);
    wasm_foreign_set_host_info_with_finalizer(keeper, wasm_foreign_new(w.store), delete_foreign);
    wasm_foreign_delete(keeper);
    wasm_func_delete(f);
    close_world(&w);
    assert_int_equal(finalized, 2);
    assert_int_equal(c.live, 0);
}

static wasm_trap_t *delete_store(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    struct world *w = env;
    (void)args, (void)results;
    wasm_store_delete(w->store);
    w->store = NULL;
    assert_int_equal(finalized, 0);
    return NULL;
}
static void count_any(void *p) { finalized += p != NULL; }

static void a_store_may_be_deleted_by_what_it_runs(void **state) {
    struct world w;
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    (void)state;
    finalized = 0;
    open_world(&w);
    wasm_func_t *f = host_func(&w, delete_store, &w, count_any);
    assert_null(wasm_func_call(f, &none, &none));
    assert_null(w.store);
    assert_int_equal(finalized, 1);
    wasm_func_delete(f);
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
    char text[8192];
    struct atoll_error error;
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
    assert_true(atoll_assemble(text, n, &bytes, &error));
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
    assert_int_equal(wasm_frame_func_offset(trace.data[0]), 0);
    wasm_name_t name;
    assert_true(atoll_frame_func_name(trace.data[0], &name));
    assert_bytes(&name, "g");
    assert_true(atoll_frame_func_name(trace.data[1], &name));
    assert_bytes(&name, "h");
    assert_true(atoll_frame_module_name(trace.data[1], &name));
    assert_bytes(&name, "test");
    wasm_byte_vec_t lines;
    assert_true(atoll_trap_backtrace(trap, &lines));
    assert_bytes(&lines, "    0: g+0x0 (test:1:45)\n    1: h+0x0 (test:1:75)\n");
    wasm_frame_vec_delete(&trace);
    wasm_trap_delete(trap);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_func_delete(host);
    close_world(&w);
}

#define TEN       "_ZN4loop10"
#define FIFTY     TEN TEN TEN TEN TEN
#define LONG_NAME FIFTY FIFTY FIFTY

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
    assert_null(instance_of(
        &w, /* names of 150 bytes, and one that would end the line */
        "(module (import \"" LONG_NAME "\" \"" LONG_NAME "\\0a\" (func (param i32 i64))))", NULL, &trap));
    assert_message(trap, "unknown import: " LONG_NAME "." LONG_NAME "\\0a, expected (func (param i32 i64))");
    wasm_trap_delete(trap);
    struct atoll_error error;
    char line[300];
    wasm_byte_vec_t bytes;
    wasm_byte_vec_new(&bytes, 21, "(module\n  (memroy 1))");
    assert_null(atoll_module_load(w.store, &bytes, NULL, &error));
    wasm_byte_vec_delete(&bytes);
    assert_int_equal(error.code, ATOLL_E_SYNTAX);
    assert_int_equal(error.line, 2);
    atoll_error_line(&error, line, sizeof line);
    assert_non_null(strstr(line, "2:4: "));
    wasm_byte_vec_new(&bytes, 8, "\0asm\1\0\0\1");
    assert_null(atoll_module_load(w.store, &bytes, NULL, &error));
    assert_int_equal(error.code, ATOLL_E_MALFORMED);
    assert_int_equal(error.offset, 4);
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

/* f(n) = 2 n, with a throw and, given $TWO, an object at each step. */
#define DOUBLING(TWO)                                                                                        \
    "(module (type $s (struct (field i32))) (tag $e)"                                                        \
    "(func $f (export \"f\") (param i32) (result i32) (if (result i32) (local.get 0)"                        \
    " (then (block $h (try_table (catch $e $h) (throw $e)))"                                                 \
    " (i32.add " TWO " (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0)))))"

/* The collector stops threads by signals, which the thread sanitizer holds back while they compute: the
 * collector would give up. */
#if defined(__SANITIZE_THREAD__)
static const char doubling[] = DOUBLING("(i32.const 2)");
#else
static const char doubling[] = DOUBLING("(struct.get $s 0 (struct.new $s (i32.const 2)))");
#endif

static void *run_engine(void *unused) {
    struct world w;
    wasm_extern_vec_t exports;
    open_world(&w);
    wasm_instance_t *i = instance_of(&w, doubling, NULL, NULL);
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

/* ---- a memory of several stores ---- */

struct sharer {
    wasm_engine_t *engine;
    wasm_shared_module_t *module;
    atoll_shared_memory_t *memory;
    bool done;
};

/* Adds 1000 times and waits until all of `n` threads have. */
static const char adding[] =
    "(module (import \"\" \"m\" (memory 1 4 shared)) (func (export \"add\") (param $n i32) (local $i i32)"
    " (loop $l (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))"
    "  (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))"
    " (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))"
    " (drop (memory.atomic.notify (i32.const 4) (i32.const -1)))"
    " (loop $wait (if (i32.ne (local.tee $i (i32.atomic.load (i32.const 4))) (local.get $n)) (then"
    "  (drop (memory.atomic.wait32 (i32.const 4) (local.get $i) (i64.const -1))) (br $wait))))))";

static void *add_in_own_store(void *p) {
    struct sharer *s = p;
    wasm_extern_vec_t exports;
    wasm_store_t *store = wasm_store_new(s->engine);
    wasm_module_t *module = wasm_module_obtain(store, s->module);
    wasm_memory_t *memory = atoll_memory_obtain(store, s->memory);
    wasm_extern_t *given[] = {wasm_memory_as_extern(memory)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);
    wasm_instance_t *i = wasm_instance_new(store, module, &imports, NULL);
    if (i) {
        wasm_val_t in[] = {WASM_I32_VAL(4)};
        wasm_val_vec_t args = WASM_ARRAY_VEC(in), results = WASM_EMPTY_VEC;
        wasm_instance_exports(i, &exports);
        s->done = !wasm_func_call(wasm_extern_as_func(exports.data[0]), &args, &results);
        wasm_extern_vec_delete(&exports);
        wasm_instance_delete(i);
    }
    wasm_memory_delete(memory);
    wasm_module_delete(module);
    wasm_store_delete(store);
    return NULL;
}

static void stores_on_threads_share_a_memory(void **state) {
    struct world w;
    struct sharer sharers[4];
    pthread_t threads[4];
    wasm_limits_t limits = {1, 4};
    uint32_t sum;
    (void)state;
    open_world(&w);
    wasm_memory_t *memory = atoll_memory_new_shared(w.store, &limits);
    wasm_module_t *module = module_of(&w, adding);
    wasm_shared_module_t *shared_module = wasm_module_share(module);
    atoll_shared_memory_t *shared = atoll_memory_share(memory);
    assert_non_null(shared);
    for (int i = 0; i < 4; i++) {
        sharers[i] = (struct sharer){w.engine, shared_module, shared, false};
        assert_int_equal(pthread_create(&threads[i], NULL, add_in_own_store, &sharers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(sharers[i].done);
    }
    memcpy(&sum, wasm_memory_data(memory), sizeof sum);
    assert_int_equal(sum, 4000);
    assert_true(wasm_memory_grow(memory, 3));
    assert_false(wasm_memory_grow(memory, 1));
    /* it outlives the store that made it */
    wasm_memory_delete(memory);
    wasm_module_delete(module);
    wasm_shared_module_delete(shared_module);
    wasm_store_delete(w.store);
    w.store = wasm_store_new(w.engine);
    memory = atoll_memory_obtain(w.store, shared);
    wasm_memory_t *again = atoll_memory_obtain(w.store, shared);
    assert_true(wasm_memory_same(memory, again));
    assert_int_equal(wasm_memory_size(memory), 4);
    wasm_memory_delete(again);
    atoll_shared_memory_delete(shared);
    assert_int_equal(wasm_memory_data(memory)[5], 0);
    wasm_memory_delete(memory);
    /* only shared ones, only of this engine */
    wasm_limits_t bad = {3, 2};
    assert_null(atoll_memory_new_shared(w.store, &bad));
    wasm_memorytype_t *type = wasm_memorytype_new(&limits);
    memory = wasm_memory_new(w.store, type);
    assert_null(atoll_memory_share(memory));
    wasm_memory_delete(memory);
    wasm_memorytype_delete(type);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_on_threads_share_a_memory),
        cmocka_unit_test(the_same_entity_is_the_same_object),
        cmocka_unit_test(finalizers_run_once_when_the_store_is_deleted),
        cmocka_unit_test(a_finalizer_may_own_objects_of_its_store),
        cmocka_unit_test(a_store_may_be_deleted_by_what_it_runs),
        cmocka_unit_test(a_hosts_trap_comes_back_with_frames),
        cmocka_unit_test(a_frame_tells_its_source),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(managed_objects_are_references_that_keep_them),
        cmocka_unit_test(engines_live_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
