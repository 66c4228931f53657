/* The host makes a managed object, and catches an exception that carries a number. */
#include <atoll/atoll.h>
#include <stdio.h>

int main(void) {
    const char text[] = "(module (type $point (struct (field i32) (field i32))) (tag $odd (param i32))"
                        " (func (export \"sum\") (param (ref $point)) (result i32) (local $n i32)"
                        "  (local.set $n (i32.add (struct.get $point 0 (local.get 0))"
                        "                         (struct.get $point 1 (local.get 0))))"
                        "  (if (i32.and (local.get $n) (i32.const 1)) (then (throw $odd (local.get $n))))"
                        "  (local.get $n)))";
    struct atoll_error error;
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_byte_vec_t bytes;
    wasm_byte_vec_new(&bytes, sizeof text - 1, text);
    wasm_module_t *module = atoll_module_load(store, &bytes, "objects", &error);
    wasm_byte_vec_delete(&bytes);
    if (!module) {
        printf("%s\n", error.text);
        return 1;
    }
    wasm_extern_vec_t imports = WASM_EMPTY_VEC, exports;
    wasm_instance_t *instance = wasm_instance_new(store, module, &imports, NULL);
    wasm_instance_exports(instance, &exports);

    for (int32_t y = 2; y <= 3; y++) {
        wasm_val_t fields[] = {WASM_I32_VAL(40), WASM_I32_VAL(y)}, result[] = {WASM_INIT_VAL};
        wasm_val_vec_t values = WASM_ARRAY_VEC(fields), results = WASM_ARRAY_VEC(result), carried;
        wasm_ref_t *point = atoll_struct_new(store, atoll_module_heaptype(module, 0), &values);
        wasm_val_t arg[] = {WASM_REF_VAL(point)};
        wasm_val_vec_t args = WASM_ARRAY_VEC(arg);
        wasm_trap_t *trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &args, &results);
        wasm_ref_t *exception = trap ? atoll_trap_exception(trap) : NULL;
        if (!trap) printf("the sum is %d\n", result[0].of.i32);
        if (exception && atoll_exception_values(exception, &carried)) {
            printf("%d is odd\n", carried.data[0].of.i32);
            wasm_val_vec_delete(&carried);
        }
        wasm_ref_delete(exception);
        wasm_trap_delete(trap);
        wasm_ref_delete(point);
    }

    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return 0;
}
