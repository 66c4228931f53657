/* tests/api/api_memory_test.c: every allocation fails once, step by step: the engine's, and those of the C
 * library that values made without an engine use. Each time NULL, false, an empty vector or a trap comes
 * back, and in the end no block is left. The linker puts the allocator of this test in the default one's
 * place. */
#include "tests/api/world.h"

static struct counting memory;
extern const struct atoll_alloc __wrap_atoll_default_alloc;
const struct atoll_alloc __wrap_atoll_default_alloc = {count_resize, &memory};

/* One scenario; it may stop anywhere, but frees what it has. True: it went through. */
typedef bool scenario(struct world *w);

/* All on one thread, so that the n-th allocation is always the same one; ATOLL_TEST_TIER as elsewhere. */
static bool open_small(struct world *w) {
    const char *tier = getenv("ATOLL_TEST_TIER");
    wasm_config_t *config = wasm_config_new();
    if (!config) return false;
    assert_true(atoll_config_tier(config, tier ? tier : "interp"));
    w->engine = wasm_engine_new_with_config(config);
    w->store = w->engine ? wasm_store_new(w->engine) : NULL;
    return w->store != NULL;
}

static void each_failure_is_an_answer(scenario *run) {
    memory.failed = true;
    for (unsigned long n = 1; memory.failed; n++) {
        struct world w = {0};
        memory = (struct counting){.until_failure = n};
        bool done = open_small(&w) && run(&w);
        if (!memory.failed && !done) fail_msg("without a failure it does not go through");
        wasm_store_delete(w.store);
        wasm_engine_delete(w.engine);
        if (memory.live) fail_msg("%ld blocks are left when allocation %lu fails", memory.live, n);
        assert_true(n < 20000);
    }
}

static wasm_module_t *load(struct world *w, const char *text, struct atoll_error *error) {
    wasm_byte_vec_t bytes;
    wasm_byte_vec_new(&bytes, strlen(text), text);
    wasm_module_t *m = bytes.size ? atoll_module_load(w->store, &bytes, "m", error) : NULL;
    wasm_byte_vec_delete(&bytes);
    return m;
}

/* ---- configuration, modules, types ---- */

static bool describes(struct world *w) {
    struct atoll_error error = {.code = ATOLL_OK};
    wasm_config_t *config = wasm_config_new();
    if (config) wasm_config_delete(config);
    wasm_module_t *m =
        load(w,
             "(module (import \"a\" \"b\" (func (param i32 i64 f32 f64 externref funcref) (result "
             "i32))) (import \"a\" \"t\" (tag (param i32))) (memory (export \"m\") 1 2) (table "
             "(export \"t\") 1 funcref) (global (export \"g\") i32 (i32.const 1)))",
             &error);
    if (!m) {
        assert_true(memory.failed);
        assert_true(error.code == ATOLL_E_NOMEM || error.code == ATOLL_OK); /* OK: the bytes' own vector */
        return false;
    }
    wasm_importtype_vec_t imports, imports2;
    wasm_exporttype_vec_t exports, exports2;
    wasm_byte_vec_t serialized;
    wasm_module_imports(m, &imports);
    wasm_module_exports(m, &exports);
    wasm_importtype_vec_copy(&imports2, &imports);
    wasm_exporttype_vec_copy(&exports2, &exports);
    wasm_module_serialize(m, &serialized);
    bool ok =
        imports.size == 2 && exports.size == 3 && imports2.size == 2 && exports2.size == 3 && serialized.size;
    wasm_shared_module_t *shared = wasm_module_share(m);
    wasm_module_t *again = shared ? wasm_module_obtain(w->store, shared) : NULL;
    wasm_module_t *read = serialized.size ? wasm_module_deserialize(w->store, &serialized) : NULL;
    ok = ok && again && read;
    wasm_module_delete(read);
    wasm_module_delete(again);
    wasm_shared_module_delete(shared);
    wasm_byte_vec_delete(&serialized);
    wasm_importtype_vec_delete(&imports);
    wasm_importtype_vec_delete(&imports2);
    wasm_exporttype_vec_delete(&exports);
    wasm_exporttype_vec_delete(&exports2);
    wasm_module_delete(m);
    wasm_byte_vec_t bytes;
    ok = atoll_assemble("(module (memory 1))", 19, &bytes, &error) && ok;
    wasm_byte_vec_delete(&bytes);
    return ok;
}

/* ---- entities of the host ---- */

static wasm_functype_t *type_of(size_t n_params, size_t n_results) {
    wasm_valtype_vec_t params, results;
    wasm_valtype_vec_new_uninitialized(&params, n_params);
    wasm_valtype_vec_new_uninitialized(&results, n_results);
    bool ok = params.size == n_params && results.size == n_results;
    for (size_t i = 0; i < params.size; i++) ok &= (params.data[i] = wasm_valtype_new_i32()) != NULL;
    for (size_t i = 0; i < results.size; i++) ok &= (results.data[i] = wasm_valtype_new_i32()) != NULL;
    wasm_functype_t *t = wasm_functype_new(&params, &results);
    if (ok) return t;
    wasm_functype_delete(t);
    return NULL;
}

static bool makes_entities(struct world *w) {
    wasm_limits_t limits = {1, 10};
    wasm_val_t one = WASM_I32_VAL(1), got;
    wasm_globaltype_t *gt = wasm_globaltype_new(wasm_valtype_new_i32(), WASM_VAR);
    wasm_tabletype_t *tt = wasm_tabletype_new(wasm_valtype_new_funcref(), &limits);
    wasm_memorytype_t *mt = wasm_memorytype_new(&limits);
    wasm_global_t *g = gt ? wasm_global_new(w->store, gt, &one) : NULL;
    wasm_table_t *t = tt ? wasm_table_new(w->store, tt, NULL) : NULL;
    wasm_memory_t *m = mt ? wasm_memory_new(w->store, mt) : NULL;
    wasm_globaltype_delete(gt);
    wasm_tabletype_delete(tt);
    wasm_memorytype_delete(mt);
    bool ok = g && t && m && wasm_table_grow(t, 1, NULL) && wasm_memory_grow(m, 1);
    gt = g ? wasm_global_type(g) : NULL;
    tt = t ? wasm_table_type(t) : NULL;
    mt = m ? wasm_memory_type(m) : NULL;
    wasm_externtype_t *copy = mt ? wasm_externtype_copy(wasm_memorytype_as_externtype(mt)) : NULL;
    if (g) wasm_global_get(g, &got);
    ok = ok && gt && tt && mt && copy;
    wasm_externtype_delete(copy);
    wasm_globaltype_delete(gt);
    wasm_tabletype_delete(tt);
    wasm_memorytype_delete(mt);
    wasm_global_delete(g);
    wasm_table_delete(t);
    wasm_memory_delete(m);
    return ok;
}

/* ---- calls, traps, exceptions ---- */

static void free_flag(void *p) { *(bool *)p = true; }

static wasm_trap_t *echo(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)env;
    for (size_t i = 0; i < results->size; i++) wasm_val_copy(&results->data[i], &args->data[i]);
    return NULL;
}
static wasm_trap_t *refuse(void *store, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)args, (void)results;
    return wasm_trap_new(store, &(wasm_message_t){8, (char[]){"refused"}});
}

static bool looks_at_trap(wasm_trap_t *trap, enum atoll_trap_code code) {
    wasm_message_t message;
    wasm_frame_vec_t frames;
    wasm_byte_vec_t lines;
    wasm_name_t name = {0, NULL};
    if (!trap) return false;
    wasm_trap_message(trap, &message);
    wasm_trap_trace(trap, &frames);
    bool ok =
        atoll_trap_code(trap) == code && message.size && frames.size && atoll_trap_backtrace(trap, &lines);
    if (ok) wasm_byte_vec_delete(&lines);
    ok = ok && atoll_frame_func_name(frames.data[0], &name);
    wasm_name_delete(&name);
    wasm_byte_vec_delete(&message);
    wasm_frame_vec_delete(&frames);
    wasm_trap_delete(trap);
    return ok;
}

static wasm_trap_t *call(wasm_extern_t *f, size_t n, bool *out_fine) {
    wasm_val_t values[40], out[40];
    for (size_t i = 0; i < 40; i++) values[i] = (wasm_val_t)WASM_I32_VAL((int32_t)i), out[i] = values[i];
    wasm_val_vec_t args = {n, values}, results = {n, out};
    wasm_trap_t *trap = wasm_func_call(wasm_extern_as_func(f), &args, &results);
    *out_fine = !trap && (n == 0 || out[n - 1].of.i32 == (int32_t)n - 1);
    return trap;
}

static bool runs(struct world *w) {
    static const char text[] =
        "(module (type $t (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 "
        "i32)"
        " (result i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"
        "(import \"\" \"echo\" (func $echo (type $t))) (import \"\" \"refuse\" (func $refuse))"
        "(tag $e (param i32)) (table 2 funcref) (elem (i32.const 0) $f) (func $f)"
        "(export \"echo\" (func $echo)) (func $g (call $refuse)) (func (export \"refused\") (call $g))"
        "(func (export \"thrown\") (throw $e (i32.const 1)))"
        "(func (export \"caught\") (block $h (result i32) (try_table (catch $e $h) (throw $e (i32.const 1)))"
        " (i32.const 0)) drop))";
    bool freed = false, fine[4] = {false};
    wasm_functype_t *wide = type_of(18, 18), *none = type_of(0, 0);
    wasm_func_t *host = wide ? wasm_func_new_with_env(w->store, wide, echo, &freed, free_flag) : NULL;
    wasm_func_t *no = none ? wasm_func_new_with_env(w->store, none, refuse, w->store, NULL) : NULL;
    wasm_functype_delete(wide);
    wasm_functype_delete(none);
    wasm_module_t *m = host && no ? load(w, text, NULL) : NULL;
    wasm_extern_t *externs[] = {wasm_func_as_extern(host), wasm_func_as_extern(no)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(externs), exports = WASM_EMPTY_VEC;
    wasm_trap_t *trap = NULL;
    wasm_instance_t *i = m ? wasm_instance_new(w->store, m, &imports, &trap) : NULL;
    if (m && !i) {
        assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_MEMORY);
        wasm_trap_delete(trap);
    }
    if (i) wasm_instance_exports(i, &exports);
    if (exports.size) {
        trap = call(exports.data[0], 18, &fine[0]);
        if (trap) assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_MEMORY);
        wasm_trap_delete(trap);
        fine[1] = looks_at_trap(call(exports.data[1], 0, &fine[3]), ATOLL_TRAP_HOST);
        trap = call(exports.data[2], 0, &fine[3]);
        wasm_ref_t *exception = trap ? atoll_trap_exception(trap) : NULL;
        fine[2] = looks_at_trap(trap, ATOLL_TRAP_EXCEPTION) && exception;
        wasm_ref_delete(exception);
        wasm_trap_delete(call(exports.data[3], 0, &fine[3]));
    }
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    bool made = host != NULL;
    wasm_func_delete(host);
    wasm_func_delete(no);
    wasm_store_delete(w->store);
    w->store = NULL;
    assert_int_equal(freed, made); /* the finalizer of what was made, and of nothing else */
    return fine[0] && fine[1] && fine[2] && fine[3];
}

/* ---- managed objects ---- */

static bool holds_objects(struct world *w) {
    wasm_module_t *m =
        load(w, "(module (type (struct (field (mut anyref)) (field i64))) (type (array i8)))", NULL);
    if (!m) return false;
    const atoll_heaptype_t *type = atoll_module_heaptype(m, 0);
    wasm_ref_t *i31 = atoll_i31_new(w->store, 3);
    wasm_val_t values[] = {WASM_REF_VAL(i31), WASM_I64_VAL(4)}, got = WASM_INIT_VAL;
    wasm_val_vec_t fields = WASM_ARRAY_VEC(values);
    wasm_foreign_t *foreign = wasm_foreign_new(w->store);
    wasm_ref_t *object = i31 ? atoll_struct_new(w->store, type, &fields) : NULL;
    wasm_ref_t *array = atoll_array_new(w->store, atoll_module_heaptype(m, 1), NULL, 100);
    values[0].of.ref = wasm_foreign_as_ref(foreign);
    bool ok = object && array && foreign && atoll_object_set(object, 0, &values[0]) &&
              atoll_object_get(object, 0, &got) && got.of.ref == values[0].of.ref;
    wasm_val_delete(&got);
    wasm_functype_t *t = type_of(1, 0);
    wasm_extern_t *tag = t ? atoll_tag_new(w->store, t) : NULL;
    wasm_functype_delete(t);
    wasm_val_t number[] = {WASM_I32_VAL(1)};
    wasm_val_vec_t one = WASM_ARRAY_VEC(number), back = WASM_EMPTY_VEC;
    wasm_ref_t *exception = tag ? atoll_exception_new(tag, &one) : NULL;
    ok = ok && exception && atoll_exception_values(exception, &back);
    wasm_val_vec_delete(&back);
    if (exception) wasm_trap_delete(atoll_throw(exception));
    wasm_ref_delete(exception);
    wasm_extern_delete(tag);
    wasm_foreign_delete(foreign);
    wasm_ref_delete(i31);
    wasm_ref_delete(object);
    wasm_ref_delete(array);
    wasm_module_delete(m);
    return ok;
}

/* ---- WASI ---- */

static bool opens_worlds(struct world *w) {
    static const char text[] =
        "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func $w (param i32 i32 i32 i32) (result "
        "i32)))"
        "(memory (export \"memory\") 1) (data (i32.const 0) \"\\10\\00\\00\\00\\05\\00\\00\\00\")"
        "(data (i32.const 16) \"hello\") (func (export \"_start\")"
        " (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))";
    wasm_module_t *m = load(w, text, NULL);
    atoll_wasi_t *wasi = m ? atoll_wasi_new(w->engine, NULL) : NULL;
    if (!wasi) {
        wasm_module_delete(m);
        return false;
    }
    bool ok = atoll_wasi_arg(wasi, "program");
    for (int i = 0; i < 20; i++) ok = atoll_wasi_env(wasi, "A=b") && ok;
    ok = atoll_wasi_dir(wasi, "/::/r:ro", NULL) && ok;
    ok = atoll_wasi_native(wasi, "m", "library \"libm.so.6\"; double cos(double x);", 42) && ok;
    ok = atoll_wasi_stdin_bytes(wasi, "input", 5) && ok;
    ok = atoll_wasi_stdout_bytes(wasi, 1, 100) && ok;
    wasm_trap_t *trap = NULL;
    wasm_instance_t *i = atoll_wasi_instantiate(w->store, m, wasi, NULL, &trap);
    if (!i) {
        assert_non_null(trap);
        wasm_trap_delete(trap);
    }
    wasm_extern_vec_t exports = WASM_EMPTY_VEC;
    wasm_byte_vec_t output = WASM_EMPTY_VEC;
    bool fine = false;
    if (i) wasm_instance_exports(i, &exports);
    if (exports.size) wasm_trap_delete(call(exports.data[1], 0, &fine));
    ok = ok && fine && atoll_wasi_output(wasi, 1, &output) && output.size == 5;
    wasm_byte_vec_delete(&output);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    return ok;
}

#define SCENARIO(name)                                                                                       \
    static void name##_without_memory(void **state) {                                                        \
        (void)state;                                                                                         \
        each_failure_is_an_answer(name);                                                                     \
    }
SCENARIO(describes)
SCENARIO(makes_entities)
SCENARIO(runs)
SCENARIO(holds_objects)
SCENARIO(opens_worlds)

/* With an allocator of its own an engine takes nothing of what belongs to a store from anywhere else. */
static void an_engines_objects_use_its_allocator(void **state) {
    struct counting own = {0};
    struct atoll_alloc alloc = {count_resize, &own};
    (void)state;
    memory = (struct counting){0};
    wasm_config_t *config = wasm_config_new();
    atoll_config_allocator(config, &alloc);
    struct world w = {.engine = wasm_engine_new_with_config(config)};
    w.store = wasm_store_new(w.engine);
    struct atoll_error error;
    wasm_byte_vec_t bytes;
    assert_true(atoll_assemble("(module (memory (export \"m\") 1))", 32, &bytes, &error));
    memory.until_failure = 1; /* from here on the C library's memory is not to be asked */
    wasm_module_t *m = atoll_module_load(w.store, &bytes, "m", &error);
    wasm_exporttype_vec_t types;
    wasm_module_exports(m, &types);
    wasm_exporttype_t *copy = wasm_exporttype_copy(types.data[0]);
    wasm_extern_vec_t none = WASM_EMPTY_VEC, exports;
    wasm_instance_t *i = wasm_instance_new(w.store, m, &none, NULL);
    wasm_instance_exports(i, &exports);
    wasm_trap_t *trap = wasm_trap_new(w.store, &bytes);
    assert_true(copy && exports.size == 1 && trap && !memory.failed);
    memory.until_failure = 0;
    wasm_trap_delete(trap);
    wasm_exporttype_delete(copy);
    wasm_exporttype_vec_delete(&types);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    close_world(&w);
    wasm_byte_vec_delete(&bytes);
    assert_int_equal(own.live, 0);
    assert_int_equal(memory.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_without_memory),    cmocka_unit_test(makes_entities_without_memory),
        cmocka_unit_test(runs_without_memory),         cmocka_unit_test(holds_objects_without_memory),
        cmocka_unit_test(opens_worlds_without_memory), cmocka_unit_test(an_engines_objects_use_its_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
