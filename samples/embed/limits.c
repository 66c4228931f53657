/* A program that never ends is ended: by fuel, then from another thread. */
#include <atoll/atoll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *stop_later(void *store) {
    usleep(50000);
    atoll_store_interrupt(store);
    return NULL;
}

static void show(wasm_trap_t *trap) {
    wasm_message_t message;
    wasm_trap_message(trap, &message);
    printf("%s%s\n", message.data, atoll_trap_code(trap) == ATOLL_TRAP_FUEL ? " (fuel)" : "");
    wasm_byte_vec_delete(&message);
    wasm_trap_delete(trap);
}

int main(void) {
    const char text[] = "(module (func (export \"forever\") (loop (br 0))))";
    wasm_config_t *config = wasm_config_new();
    atoll_config_fuel(config, true);
    wasm_engine_t *engine = wasm_engine_new_with_config(config);
    wasm_store_t *store = wasm_store_new(engine);
    wasm_byte_vec_t bytes;
    wasm_byte_vec_new(&bytes, sizeof text - 1, text);
    wasm_module_t *module = atoll_module_load(store, &bytes, NULL, NULL);
    wasm_byte_vec_delete(&bytes);
    wasm_extern_vec_t imports = WASM_EMPTY_VEC, exports;
    wasm_instance_t *instance = wasm_instance_new(store, module, &imports, NULL);
    wasm_instance_exports(instance, &exports);
    wasm_val_vec_t none = WASM_EMPTY_VEC;

    atoll_store_set_fuel(store, 100000);
    show(wasm_func_call(wasm_extern_as_func(exports.data[0]), &none, &none));

    atoll_store_set_fuel(store, INT64_MAX);
    pthread_t thread;
    pthread_create(&thread, NULL, stop_later, store);
    show(wasm_func_call(wasm_extern_as_func(exports.data[0]), &none, &none));
    pthread_join(thread, NULL);

    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return 0;
}
