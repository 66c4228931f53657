/* api/trap.c: traps with their message, their frames and what kind they are of. */
#include <stdlib.h>
#include "api/internal.h"

static wasm_trap_t *new_trap(wasm_store_t *store, const char *text, size_t size) {
    wasm_trap_t *t = (wasm_trap_t *)api_ref(store, API_TRAP, NULL, sizeof *t);
    if (!t) return NULL;
    t->code = RT_TRAP_HOST;
    wasm_byte_vec_new(&t->message, size, text);
    return t;
}

wasm_trap_t *api_trap_text(wasm_store_t *store, const char *text) {
    return new_trap(store, text, strlen(text) + 1);
}

wasm_trap_t *wasm_trap_new(wasm_store_t *store, const wasm_message_t *message) {
    return new_trap(store, message->data, message->size);
}

void wasm_trap_message(const wasm_trap_t *t, wasm_message_t *out) { wasm_byte_vec_copy(out, &t->message); }

/* ---- frames ---- */

static struct rt_instance *instance_of(const struct rt_store *store, const struct rt_module *module) {
    for (size_t i = 0; i < store->n_instances; i++)
        if (store->instances[i]->module == module) return store->instances[i];
    return NULL;
}

static wasm_frame_t *new_frame(wasm_store_t *store, const struct rt_frame *from) {
    wasm_frame_t *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    struct rt_instance *instance = from->module ? instance_of(store->rt, from->module) : NULL;
    bool own_func = from->module && from->func < from->module->bc->n_funcs;
    uint32_t start = own_func ? from->module->bc->funcs[from->func].code_offset : 0;
    *f = (wasm_frame_t){
        .func_index = from->func, .module_offset = from->offset, .func_offset = from->offset - start};
    if (instance) f->instance = (wasm_instance_t *)api_ref(store, API_INSTANCE, instance, 0);
    return f;
}

static void take_frames(wasm_store_t *store, wasm_trap_t *t) {
    size_t n = 0;
    for (uint32_t i = 0; i < store->rt->n_frames && n < RT_BACKTRACE_MAX; i++)
        n += rt_store_frame(store->rt, i) != NULL;
    wasm_frame_vec_new_uninitialized(&t->frames, n);
    n = 0;
    for (uint32_t i = 0; i < store->rt->n_frames && n < t->frames.size; i++) {
        const struct rt_frame *frame = rt_store_frame(store->rt, i);
        if (frame && !(t->frames.data[n++] = new_frame(store, frame))) break;
    }
}

wasm_frame_t *wasm_frame_copy(const wasm_frame_t *from) {
    wasm_frame_t *f = malloc(sizeof *f);
    if (!f) return NULL;
    *f = *from;
    f->instance = (wasm_instance_t *)api_ref_copy((const struct wasm_ref_t *)from->instance);
    return f;
}
void wasm_frame_delete(wasm_frame_t *f) {
    if (!f) return;
    api_ref_delete((struct wasm_ref_t *)f->instance);
    free(f);
}
struct wasm_instance_t *wasm_frame_instance(const wasm_frame_t *f) {
    return f->instance;
}
uint32_t wasm_frame_func_index(const wasm_frame_t *f) { return f->func_index; }
size_t wasm_frame_func_offset(const wasm_frame_t *f) { return f->func_offset; }
size_t wasm_frame_module_offset(const wasm_frame_t *f) { return f->module_offset; }

wasm_frame_t *wasm_trap_origin(const wasm_trap_t *t) {
    return t->frames.size && t->frames.data[0] ? wasm_frame_copy(t->frames.data[0]) : NULL;
}
void wasm_trap_trace(const wasm_trap_t *t, wasm_frame_vec_t *out) { wasm_frame_vec_copy(out, &t->frames); }

/* ---- from a call that failed ---- */

wasm_trap_t *api_trap(wasm_store_t *store, enum atoll_status status, const struct atoll_error *err) {
    wasm_trap_t *t = store->pending;
    store->pending = NULL;
    if (t && (status != ATOLL_E_TRAP || store->rt->trap != RT_TRAP_HOST)) { /* overtaken by another end */
        wasm_trap_delete(t);
        t = NULL;
    }
    bool ran = status == ATOLL_E_TRAP || status == ATOLL_E_INTERRUPTED || status == ATOLL_E_EXIT;
    if (!t) t = api_trap_text(store, err->text);
    if (!t) return NULL;
    t->code = ran ? store->rt->trap : RT_TRAP_NONE;
    t->exit_status = store->rt->exit_code;
    if (ran && !t->frames.size) take_frames(store, t);
    return t;
}

enum atoll_trap_code atoll_trap_code(const wasm_trap_t *t) {
    switch (t->code) {
    case RT_TRAP_NONE: return ATOLL_TRAP_LINK;
    case RT_TRAP_HOST: return ATOLL_TRAP_HOST;
    case RT_TRAP_UNCAUGHT_EXCEPTION: return ATOLL_TRAP_EXCEPTION;
    case RT_TRAP_INTERRUPTED:
    case RT_TRAP_TIMEOUT: return ATOLL_TRAP_INTERRUPTED;
    case RT_TRAP_OUT_OF_FUEL: return ATOLL_TRAP_FUEL;
    case RT_TRAP_EXIT: return ATOLL_TRAP_EXIT;
    default: return ATOLL_TRAP_PROGRAM;
    }
}
int atoll_trap_exit_status(const wasm_trap_t *t) { return t->exit_status; }
