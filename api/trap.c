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

static struct wasm_frame_t frame_of(wasm_store_t *store, const struct rt_frame *from) {
    struct wasm_frame_t f = {
        .func_index = from->func, .module_offset = from->offset, .func_offset = from->offset};
    if (!from->instance) return f;
    const struct bc_module *bc = from->instance->module->bc;
    if (from->func < bc->n_funcs) f.func_offset -= bc->funcs[from->func].code_offset;
    struct wasm_ref_t *instance = api_ref(store, API_INSTANCE, (void *)(uintptr_t)from->instance, 0);
    if (instance) {
        instance->pinned = true;
        api_ref_delete(instance);
    }
    f.instance = (wasm_instance_t *)instance;
    return f;
}

static void take_frames(wasm_store_t *store, wasm_trap_t *t) {
    uint32_t n = store->rt->n_frames;
    t->frames = calloc(RT_BACKTRACE_MAX, sizeof *t->frames);
    for (uint32_t i = 0; t->frames && i < n && t->n_frames < RT_BACKTRACE_MAX; i++) {
        const struct rt_frame *frame = rt_store_frame(store->rt, i);
        if (frame)
            t->frames[t->n_frames++] = frame_of(store, frame);
        else
            i = n - (RT_BACKTRACE_MAX - (uint32_t)t->n_frames) - 1; /* to the outermost that are kept */
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

#define INLINED_MAX 32

size_t atoll_frame_source(const wasm_frame_t *f, struct atoll_source *out, size_t max) {
    if (!f->instance) return 0;
    const struct rt_module *module =
        ((const struct rt_instance *)((struct wasm_ref_t *)f->instance)->entity)->module;
    struct bc_source sources[INLINED_MAX];
    struct bc_debug *debug = rt_module_debug(module);
    size_t n = bc_debug_find(debug, (uint32_t)f->module_offset, sources,
                             max < INLINED_MAX ? (uint32_t)max : INLINED_MAX);
    for (size_t i = 0; i < n; i++) /* the names end with a zero byte in their sections */
        out[i] = (struct atoll_source){sources[i].function.bytes, sources[i].directory.bytes,
                                       sources[i].file.bytes, sources[i].line, sources[i].column};
    bc_debug_free(debug);
    return n;
}

wasm_frame_t *wasm_trap_origin(const wasm_trap_t *t) {
    return t->n_frames ? wasm_frame_copy(t->frames) : NULL;
}

/* All frames, or none when memory ends. */
void wasm_trap_trace(const wasm_trap_t *t, wasm_frame_vec_t *out) {
    wasm_frame_vec_new_uninitialized(out, t->n_frames);
    bool ok = true;
    for (size_t i = 0; i < out->size; i++) ok &= (out->data[i] = wasm_frame_copy(t->frames + i)) != NULL;
    if (!ok) wasm_frame_vec_delete(out);
}

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
    if (ran && !t->n_frames) take_frames(store, t);
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
