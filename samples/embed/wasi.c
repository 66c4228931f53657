/* Runs a WASI program with what is granted to it: usage: wasi PROGRAM [ARGS...] */
#include <atoll/atoll.h>
#include <stdio.h>
#include <stdlib.h>

static bool read_file(const char *path, wasm_byte_vec_t *out) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return false;
    wasm_byte_vec_new_uninitialized(out, (size_t)ftell(f));
    rewind(f);
    bool ok = fread(out->data, 1, out->size, f) == out->size;
    fclose(f);
    return ok;
}

int main(int argc, char **argv) {
    wasm_byte_vec_t bytes;
    struct atoll_error error;
    if (argc < 2 || !read_file(argv[1], &bytes)) return 2;
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_module_t *module = atoll_module_load(store, &bytes, argv[1], &error);
    wasm_byte_vec_delete(&bytes);
    if (!module) {
        printf("%s\n", error.text);
        return 1;
    }
    atoll_wasi_t *wasi = atoll_wasi_new(engine, NULL);
    for (int i = 1; i < argc; i++) atoll_wasi_arg(wasi, argv[i]);
    atoll_wasi_env(wasi, "EMBEDDED=yes");
    atoll_wasi_inherit_stdio(wasi);

    int status = 0;
    wasm_trap_t *trap = NULL;
    wasm_instance_t *instance = atoll_wasi_instantiate(store, module, wasi, NULL, &trap);
    wasm_extern_vec_t exports = WASM_EMPTY_VEC;
    wasm_exporttype_vec_t types;
    wasm_module_exports(module, &types);
    if (instance) wasm_instance_exports(instance, &exports);
    for (size_t i = 0; i < exports.size; i++) {
        const wasm_name_t *name = wasm_exporttype_name(types.data[i]);
        wasm_val_vec_t none = WASM_EMPTY_VEC;
        if (name->size == 6 && !memcmp(name->data, "_start", 6))
            trap = wasm_func_call(wasm_extern_as_func(exports.data[i]), &none, &none);
    }
    if (trap) {
        wasm_message_t message;
        wasm_trap_message(trap, &message);
        status = atoll_trap_code(trap) == ATOLL_TRAP_EXIT ? atoll_trap_exit_status(trap) : 134;
        if (atoll_trap_code(trap) != ATOLL_TRAP_EXIT) printf("trap: %s\n", message.data);
        wasm_byte_vec_delete(&message);
        wasm_trap_delete(trap);
    }
    wasm_exporttype_vec_delete(&types);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return status;
}
