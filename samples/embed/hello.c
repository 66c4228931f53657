/* A module with one import and one export: the host's function is called from the program that the host
 * calls. */
#include <atoll/atoll.h>
#include <stdio.h>

static wasm_trap_t *greet(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    printf("the program says %d\n", args->data[0].of.i32);
    results->data[0] = (wasm_val_t)WASM_I32_VAL(args->data[0].of.i32 + 1);
    return NULL;
}

int main(void) {
    const char text[] = "(module (import \"host\" \"greet\" (func $greet (param i32) (result i32)))"
                        " (func (export \"run\") (result i32) (call $greet (i32.const 41))))";
    struct atoll_error error;
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_byte_vec_t bytes;
    wasm_byte_vec_new(&bytes, sizeof text - 1, text);
    wasm_module_t *module = atoll_module_load(store, &bytes, "hello", &error);
    wasm_byte_vec_delete(&bytes);
    if (!module) {
        printf("%s\n", error.text);
        return 1;
    }

    wasm_functype_t *type = wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    wasm_func_t *host = wasm_func_new(store, type, greet);
    wasm_functype_delete(type);
    wasm_extern_t *externs[] = {wasm_func_as_extern(host)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(externs), exports;
    wasm_instance_t *instance = wasm_instance_new(store, module, &imports, NULL);
    wasm_instance_exports(instance, &exports);

    wasm_val_t results[] = {WASM_INIT_VAL};
    wasm_val_vec_t no_args = WASM_EMPTY_VEC, out = WASM_ARRAY_VEC(results);
    wasm_trap_t *trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &no_args, &out);
    if (!trap) printf("and answers %d\n", results[0].of.i32);

    wasm_extern_vec_delete(&exports);
    wasm_func_delete(host);
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return trap != NULL;
}
