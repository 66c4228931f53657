/* tests/api/api_object_test.c: managed objects and exceptions in the hands of the host. */
#include "tests/api/world.h"

static const char objects[] =
    "(module (type $p (sub (struct (field i32) (field (mut f64)) (field (mut i8)) (field (mut anyref)))))"
    "(type $q (sub $p (struct (field i32) (field (mut f64)) (field (mut i8)) (field (mut anyref)) "
    "(field i64))))"
    "(type $a (array (mut i16))) (type $f (func)) (type $n (struct (field (ref any))))"
    "(type $v (array (mut anyref)))"
    "(func (export \"sum\") (param (ref $p)) (result f64) (f64.add (f64.convert_i32_s (struct.get $p 0 "
    "(local.get 0))) (struct.get $p 1 (local.get 0))))"
    "(func (export \"last\") (param anyref) (result i32) (local $r (ref $a)) (local.set $r (ref.cast (ref $a)"
    "(local.get 0))) (array.get_s $a (local.get $r) (i32.sub (array.len (local.get $r)) (i32.const 1))))"
    "(func (export \"same\") (param anyref) (result anyref) (local.get 0)))";

struct guest {
    struct world w;
    wasm_module_t *module;
    wasm_instance_t *instance;
    wasm_extern_vec_t exports;
};

static void open_guest(struct guest *g, const char *text, wasm_extern_vec_t *imports) {
    wasm_extern_vec_t none = WASM_EMPTY_VEC;
    if (!g->w.engine) open_world(&g->w);
    g->module = module_of(&g->w, text);
    g->instance = wasm_instance_new(g->w.store, g->module, imports ? imports : &none, NULL);
    assert_non_null(g->instance);
    wasm_instance_exports(g->instance, &g->exports);
}
static void close_guest(struct guest *g) {
    wasm_extern_vec_delete(&g->exports);
    wasm_instance_delete(g->instance);
    wasm_module_delete(g->module);
    close_world(&g->w);
}
static wasm_trap_t *call(struct guest *g, size_t i, wasm_val_t *in, size_t n_in, wasm_val_t *out) {
    wasm_val_vec_t args = {n_in, in}, results = {out != NULL, out};
    return wasm_func_call(wasm_extern_as_func(g->exports.data[i]), &args, &results);
}

static void structs_and_arrays_are_made_and_read(void **state) {
    struct guest g = {0};
    (void)state;
    open_guest(&g, objects, NULL);
    const atoll_heaptype_t *p = atoll_module_heaptype(g.module, 0), *q = atoll_module_heaptype(g.module, 1),
                           *a = atoll_module_heaptype(g.module, 2);
    assert_null(atoll_module_heaptype(g.module, 3)); /* a function's */
    assert_null(atoll_module_heaptype(g.module, 100));

    wasm_ref_t *small = atoll_i31_new(g.w.store, -5);
    wasm_val_t values[] = {WASM_I32_VAL(40), WASM_F64_VAL(1.5), WASM_I32_VAL(0x1ff), WASM_REF_VAL(small),
                           WASM_I64_VAL(7)};
    wasm_val_vec_t five = WASM_ARRAY_VEC(values), four = {4, values}, three = {3, values};
    wasm_ref_t *object = atoll_struct_new(g.w.store, q, &five);
    assert_non_null(object);
    assert_null(atoll_struct_new(g.w.store, q, &four));
    assert_null(atoll_struct_new(g.w.store, p, &three));
    assert_null(atoll_struct_new(g.w.store, a, NULL));
    assert_null(atoll_struct_new(g.w.store, atoll_module_heaptype(g.module, 100), NULL));
    assert_null(atoll_struct_new(g.w.store, atoll_module_heaptype(g.module, 4), NULL)); /* no default */
    assert_int_equal(atoll_ref_kind(object), ATOLL_REF_STRUCT);
    assert_ptr_equal(atoll_ref_heaptype(object), q);
    assert_true(atoll_ref_is_a(object, p));
    assert_false(atoll_ref_is_a(object, a));
    assert_int_equal(atoll_object_size(object), 5);

    wasm_val_t got;
    assert_true(atoll_object_get(object, 2, &got));
    assert_int_equal(got.of.i32, 0xff); /* packed */
    assert_true(atoll_object_get(object, 3, &got));
    int32_t number = 0;
    assert_true(wasm_ref_same(got.of.ref, small) && atoll_i31_get(got.of.ref, &number));
    assert_int_equal(number, -5);
    wasm_val_delete(&got);
    assert_false(atoll_object_get(object, 5, &got));
    assert_false(atoll_object_set(object, 0, &values[0])); /* immutable */
    assert_false(atoll_object_set(object, 1, &values[0])); /* an i32 for an f64 */
    values[1].of.f64 = 2.25;
    assert_true(atoll_object_set(object, 1, &values[1]));

    wasm_val_t in[] = {WASM_REF_VAL(object)}, out = WASM_INIT_VAL;
    assert_null(call(&g, 0, in, 1, &out));
    assert_true(out.of.f64 == 42.25);
    assert_null(call(&g, 2, in, 1, &out));
    assert_true(wasm_ref_same(out.of.ref, object)); /* the same object is the same handle */
    wasm_val_delete(&out);

    wasm_val_t element = WASM_I32_VAL(-3);
    wasm_ref_t *array = atoll_array_new(g.w.store, a, &element, 1000), *zeros;
    assert_int_equal(atoll_object_size(array), 1000);
    assert_true(atoll_object_get(array, 999, &got));
    assert_int_equal(got.of.i32, 0xfffd);
    assert_false(atoll_object_get(array, 1000, &got));
    in[0].of.ref = array;
    assert_null(call(&g, 1, in, 1, &out));
    assert_int_equal(out.of.i32, -3);
    zeros = atoll_array_new(g.w.store, a, NULL, 0);
    assert_int_equal(atoll_object_size(zeros), 0);
    assert_null(atoll_array_new(g.w.store, p, NULL, 1));

    wasm_ref_delete(small);
    wasm_ref_delete(object);
    wasm_ref_delete(array);
    wasm_ref_delete(zeros);
    close_guest(&g);
}

/* 2^17 objects of 32 KiB under a heap of the default size: those without a handle go. */
static void handles_keep_objects_and_no_longer(void **state) {
    struct guest g = {0};
    (void)state;
    open_guest(&g, objects, NULL);
    const atoll_heaptype_t *a = atoll_module_heaptype(g.module, 2), *v = atoll_module_heaptype(g.module, 5);
    wasm_val_t element = WASM_I32_VAL(77), got;
    wasm_ref_t *kept = atoll_array_new(g.w.store, v, NULL, 1);
    wasm_ref_t *inner = atoll_array_new(g.w.store, a, &element, 10);
    wasm_val_t inside = WASM_REF_VAL(inner);
    assert_true(atoll_object_set(kept, 0, &inside));
    wasm_ref_delete(inner);
    for (int i = 0; i < 1 << 17; i++) {
        wasm_ref_t *r = atoll_array_new(g.w.store, a, NULL, 1 << 14);
        assert_non_null(r);
        wasm_ref_delete(r);
    }
    assert_true(atoll_object_get(kept, 0, &got));
    inner = got.of.ref;
    assert_true(atoll_object_get(inner, 9, &got));
    assert_int_equal(got.of.i32, 77);
    wasm_ref_delete(inner);
    wasm_ref_delete(kept);
    close_guest(&g);
}

static wasm_extern_t *new_tag(struct world *w) {
    wasm_functype_t *type = wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i64());
    wasm_extern_t *tag = atoll_tag_new(w->store, type);
    wasm_functype_delete(type);
    return tag;
}

static wasm_trap_t *throw_it(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    wasm_val_t values[] = {args->data[0], WASM_I64_VAL(100)};
    wasm_val_vec_t both = WASM_ARRAY_VEC(values);
    (void)results;
    wasm_ref_t *exception = atoll_exception_new(env, &both);
    wasm_trap_t *trap = atoll_throw(exception);
    wasm_ref_delete(exception);
    return trap;
}

/* Calls the function given; what it throws is caught here when its number is even. */
static wasm_trap_t *catch_even(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    wasm_val_vec_t none = WASM_EMPTY_VEC, values;
    wasm_trap_t *trap = wasm_func_call(wasm_ref_as_func(args->data[0].of.ref), &none, &none);
    wasm_ref_t *exception = atoll_trap_exception(trap);
    wasm_extern_t *tag = atoll_exception_tag(exception);
    assert_true(wasm_extern_same(tag, env));
    assert_true(atoll_exception_values(exception, &values));
    int32_t number = values.data[0].of.i32;
    wasm_val_vec_delete(&values);
    wasm_extern_delete(tag);
    wasm_ref_delete(exception);
    results->data[0] = (wasm_val_t)WASM_I32_VAL(number + 1000);
    if (number & 1) return trap; /* lets it go on */
    wasm_trap_delete(trap);
    return NULL;
}

static void hosts_throw_and_catch(void **state) {
    struct guest g = {0};
    (void)state;
    open_world(&g.w);
    wasm_extern_t *tag = new_tag(&g.w);
    wasm_functype_t *thrower = wasm_functype_new_1_0(wasm_valtype_new_i32());
    wasm_functype_t *catcher = wasm_functype_new_1_1(wasm_valtype_new_funcref(), wasm_valtype_new_i32());
    wasm_func_t *throws = wasm_func_new_with_env(g.w.store, thrower, throw_it, tag, NULL);
    wasm_func_t *catches = wasm_func_new_with_env(g.w.store, catcher, catch_even, tag, NULL);
    wasm_extern_t *externs[] = {tag, wasm_func_as_extern(throws), wasm_func_as_extern(catches)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(externs);
    open_guest(&g,
               "(module (import \"h\" \"t\" (tag $t (param i32 i64)))"
               "(import \"h\" \"throw\" (func $throw (param i32)))"
               "(import \"h\" \"catch\" (func $catch (param funcref) (result i32)))"
               "(elem declare func $two $three)"
               "(func $two (throw $t (i32.const 2) (i64.const 0))) (func $three (call $throw (i32.const 3)))"
               "(func (export \"caught\") (param i32) (result i64) (local $n i64)"
               "  (block $h (result i32 i64) (try_table (catch $t $h) (call $throw (local.get 0))) "
               "    (unreachable)) (local.set $n) (i64.extend_i32_u) (local.get $n) (i64.add))"
               "(func (export \"uncaught\") (call $throw (i32.const 9)))"
               "(func (export \"by host\") (result i32) (call $catch (ref.func $two)))"
               "(func (export \"through host\") (result i32) (call $catch (ref.func $three)))"
               "(func (export \"round\") (param exnref) (throw_ref (local.get 0))))",
               &imports);
    wasm_functype_delete(thrower);
    wasm_functype_delete(catcher);
    wasm_val_t in[] = {WASM_I32_VAL(5)}, out = WASM_INIT_VAL;
    assert_null(call(&g, 0, in, 1, &out));
    assert_int_equal(out.of.i64, 105);
    wasm_trap_t *trap = call(&g, 1, NULL, 0, NULL);
    assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_EXCEPTION);
    assert_message(trap, "uncaught exception: t(9, 100)");
    wasm_ref_t *exception = atoll_trap_exception(trap);
    wasm_trap_delete(trap);
    assert_int_equal(atoll_ref_kind(exception), ATOLL_REF_EXCEPTION);
    assert_null(call(&g, 2, NULL, 0, &out));
    assert_int_equal(out.of.i32, 1002);
    trap = call(&g, 3, NULL, 0, &out);
    assert_message(trap, "uncaught exception: t(3, 100)");
    wasm_trap_delete(trap);

    in[0] = (wasm_val_t)WASM_REF_VAL(exception); /* thrown again by the program: the same one */
    trap = call(&g, 4, in, 1, NULL);
    wasm_ref_t *again = atoll_trap_exception(trap);
    assert_true(wasm_ref_same(again, exception));
    wasm_ref_delete(again);
    wasm_trap_delete(trap);
    wasm_ref_delete(exception);
    wasm_func_delete(throws);
    wasm_func_delete(catches);
    wasm_extern_delete(tag);
    close_guest(&g);
}

static void what_is_no_exception_is_refused(void **state) {
    struct guest g = {0};
    (void)state;
    open_guest(&g, objects, NULL);
    wasm_extern_t *tag = new_tag(&g.w);
    wasm_externtype_t *type = wasm_extern_type(tag);
    assert_int_equal(wasm_functype_params(atoll_externtype_as_tagtype(type))->size, 2);
    wasm_externtype_delete(type);
    wasm_val_t one[] = {WASM_I32_VAL(1)};
    wasm_val_vec_t values = WASM_ARRAY_VEC(one), out;
    assert_null(atoll_exception_new(tag, &values));
    assert_null(atoll_exception_new(g.exports.data[0], &values));
    wasm_ref_t *i31 = atoll_i31_new(g.w.store, 1);
    assert_null(atoll_exception_tag(i31));
    assert_false(atoll_exception_values(i31, &out));
    wasm_trap_t *trap = atoll_throw(i31);
    assert_message(trap, "no exception");
    wasm_trap_delete(trap);
    trap = wasm_trap_new(g.w.store, &(wasm_message_t){2, (char[]){"x"}});
    assert_null(atoll_trap_exception(trap));
    wasm_trap_delete(trap);
    wasm_val_t both[] = {WASM_I32_VAL(1), WASM_I64_VAL(2)};
    wasm_val_vec_t fit = WASM_ARRAY_VEC(both);
    wasm_val_t exception[] = {WASM_REF_VAL(atoll_exception_new(tag, &fit))}, result = WASM_INIT_VAL;
    trap = call(&g, 2, exception, 1, &result); /* an exception is no anyref */
    assert_message(trap, "not of its parameter's type");
    wasm_trap_delete(trap);
    wasm_ref_delete(exception[0].of.ref);
    wasm_ref_delete(i31);
    wasm_extern_delete(tag);
    close_guest(&g);
}

static wasm_trap_t *sum_all(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    int32_t sum = 0;
    for (size_t i = 0; i < args->size; i++) sum += args->data[i].of.i32;
    results->data[0] = (wasm_val_t)WASM_I32_VAL(sum);
    return NULL;
}

static void calls_take_a_thousand_values(void **state) {
    struct world w;
    wasm_valtype_vec_t params, results;
    (void)state;
    open_world(&w);
    for (size_t n = 1000; n <= 1001; n++) {
        wasm_valtype_vec_new_uninitialized(&params, n);
        for (size_t i = 0; i < n; i++) params.data[i] = wasm_valtype_new_i32();
        wasm_valtype_t *one[] = {wasm_valtype_new_i32()};
        wasm_valtype_vec_new(&results, 1, one);
        wasm_functype_t *type = wasm_functype_new(&params, &results);
        wasm_func_t *f = wasm_func_new(w.store, type, sum_all);
        wasm_functype_delete(type);
        if (n == 1001) {
            assert_null(f); /* more than a module may have */
            break;
        }
        wasm_val_vec_t args;
        wasm_val_vec_new_uninitialized(&args, n);
        for (size_t i = 0; i < n; i++) args.data[i] = (wasm_val_t)WASM_I32_VAL((int32_t)i);
        wasm_val_t out[] = {WASM_INIT_VAL};
        wasm_val_vec_t sum = WASM_ARRAY_VEC(out);
        assert_null(wasm_func_call(f, &args, &sum));
        assert_int_equal(out[0].of.i32, 499500);
        wasm_val_vec_delete(&args);
        wasm_func_delete(f);
    }
    close_world(&w);
}

/* ---- values of 128 bits ---- */

static const uint8_t lanes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 250};

static void assert_lanes(const wasm_val_t *value, unsigned plus) {
    uint8_t got[16];
    assert_int_equal(value->kind, ATOLL_V128);
    assert_true(atoll_v128_get(value, got));
    for (unsigned i = 0; i < 16; i++) assert_int_equal(got[i], (uint8_t)(lanes[i] + plus));
}

/* (i64, v128) -> (v128, i64) */
static wasm_trap_t *pass_wide(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    assert_int_equal(args->data[0].of.i64, 77);
    assert_lanes(&args->data[1], 1);
    wasm_val_copy(&results->data[0], &args->data[1]);
    results->data[1] = (wasm_val_t)WASM_I64_VAL(78);
    return NULL;
}

static void values_of_128_bits_pass_in_all_places(void **state) {
    static const char text[] =
        "(module (import \"\" \"pass\" (func $pass (param i64 v128) (result v128 i64)))"
        "(type $s (struct (field i32) (field (mut v128)))) (tag $t (export \"t\") (param i32 v128 i32))"
        "(func (export \"f\") (param i32 v128 i64) (result i64 v128) (local v128)"
        "  (call $pass (local.get 2) (i8x16.add (local.get 1) (i8x16.splat (local.get 0)))) (local.set 2)"
        "  (local.set 3) (local.get 2) (i8x16.add (local.get 3) (i8x16.splat (i32.const 1))))"
        "(global (export \"g\") (mut v128) (v128.const i64x2 0 0))"
        "(func (export \"throw\") (param v128) (throw $t (i32.const 5) (local.get 0) (i32.const 6))))";
    struct guest g = {0};
    wasm_val_t wide, copy, got[3];
    (void)state;
    open_world(&g.w);
    wasm_valtype_t *p[] = {wasm_valtype_new_i64(), wasm_valtype_new(ATOLL_V128)};
    wasm_valtype_t *r[] = {wasm_valtype_new(ATOLL_V128), wasm_valtype_new_i64()};
    wasm_valtype_vec_t params, results;
    wasm_valtype_vec_new(&params, 2, p);
    wasm_valtype_vec_new(&results, 2, r);
    wasm_functype_t *type = wasm_functype_new(&params, &results);
    wasm_func_t *host = wasm_func_new(g.w.store, type, pass_wide);
    wasm_extern_t *imports[] = {wasm_func_as_extern(host)};
    open_guest(&g, text, &(wasm_extern_vec_t)WASM_ARRAY_VEC(imports));
    assert_true(atoll_v128_new(lanes, &wide));
    wasm_val_copy(&copy, &wide);
    wasm_val_delete(&wide);
    assert_false(atoll_v128_get(&wide, (uint8_t[16]){0}));

    wasm_val_t in[] = {WASM_I32_VAL(1), copy, WASM_I64_VAL(77)};
    wasm_val_vec_t args = WASM_ARRAY_VEC(in), outs = {2, got};
    assert_null(wasm_func_call(wasm_extern_as_func(g.exports.data[1]), &args, &outs));
    assert_int_equal(got[0].of.i64, 78);
    assert_lanes(&got[1], 2);

    wasm_global_t *global = wasm_extern_as_global(g.exports.data[2]);
    wasm_global_set(global, &got[1]);
    wasm_val_delete(&got[1]);
    wasm_global_set(global, &in[0]); /* of another type */
    wasm_global_get(global, &got[1]);
    assert_lanes(&got[1], 2);
    wasm_val_delete(&got[1]);

    wasm_val_t fields[] = {WASM_I32_VAL(3), copy};
    const atoll_heaptype_t *s = atoll_module_heaptype(g.module, 0);
    wasm_ref_t *object = atoll_struct_new(g.w.store, s, &(wasm_val_vec_t)WASM_ARRAY_VEC(fields));
    assert_non_null(object);
    assert_true(atoll_object_get(object, 1, &got[0]));
    assert_lanes(&got[0], 0);
    assert_false(atoll_object_set(object, 1, &in[0]));
    wasm_val_delete(&got[0]);
    wasm_ref_delete(object);

    wasm_trap_t *trap = wasm_func_call(wasm_extern_as_func(g.exports.data[3]), &(wasm_val_vec_t){1, &copy},
                                       &(wasm_val_vec_t)WASM_EMPTY_VEC);
    assert_non_null(trap);
    wasm_ref_t *exception = atoll_trap_exception(trap);
    wasm_val_vec_t values;
    assert_true(atoll_exception_values(exception, &values));
    assert_int_equal(values.data[0].of.i32, 5);
    assert_lanes(&values.data[1], 0);
    assert_int_equal(values.data[2].of.i32, 6);
    wasm_ref_t *again = atoll_exception_new(g.exports.data[0], &values);
    wasm_val_vec_delete(&values);
    assert_true(atoll_exception_values(again, &values));
    assert_lanes(&values.data[1], 0);
    wasm_val_vec_delete(&values);
    wasm_ref_delete(again);
    wasm_ref_delete(exception);
    wasm_trap_delete(trap);
    wasm_val_delete(&copy);
    wasm_func_delete(host);
    wasm_functype_delete(type);
    close_guest(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structs_and_arrays_are_made_and_read),
        cmocka_unit_test(handles_keep_objects_and_no_longer),
        cmocka_unit_test(hosts_throw_and_catch),
        cmocka_unit_test(what_is_no_exception_is_refused),
        cmocka_unit_test(calls_take_a_thousand_values),
        cmocka_unit_test(values_of_128_bits_pass_in_all_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
