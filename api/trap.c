/* api/trap.c: traps with their message, their frames and what kind they are of. */
#include "api/internal.h"

/* ---- making ---- */

static wasm_trap_t *new_trap(wasm_store_t *store, const char *text, size_t size) {
    wasm_trap_t *t = (wasm_trap_t *)api_ref(store, API_TRAP, NULL, sizeof *t);
    if (!t) return NULL;
    t->code = RT_TRAP_HOST;
    if (api_bytes(api_alloc(store), &t->message, size, text)) return t;
    api_ref_delete(&t->ref);
    return NULL;
}

wasm_trap_t *api_trap_spare(wasm_store_t *store) {
    static const char text[] = "out of memory";
    wasm_trap_t *t = new_trap(store, text, sizeof text);
    if (!t) return NULL;
    t->code = RT_TRAP_OUT_OF_MEMORY;
    t->ref.pinned = true;
    api_ref_delete(&t->ref);
    return t;
}

void api_trap_free(wasm_trap_t *t) {
    wasm_byte_vec_delete(&t->message);
    api_free(t->frames);
    api_free(t->values);
}

wasm_trap_t *api_trap_memory(wasm_store_t *store) { return (wasm_trap_t *)api_ref_copy(&store->spare->ref); }

static wasm_trap_t *trap_or_spare(wasm_store_t *store, const char *text, size_t size) {
    wasm_trap_t *t = new_trap(store, text, size);
    return t ? t : api_trap_memory(store);
}

wasm_trap_t *api_trap_text(wasm_store_t *store, const char *text) {
    return trap_or_spare(store, text, strlen(text) + 1);
}

wasm_trap_t *wasm_trap_new(wasm_store_t *store, const wasm_message_t *message) {
    return trap_or_spare(store, message->data, message->size);
}

void api_trap_give(wasm_trap_t *trap, wasm_trap_t **out) {
    if (out)
        *out = trap;
    else
        wasm_trap_delete(trap);
}

/* ---- from a call that failed ---- */

static bool take_frames(wasm_trap_t *t) {
    const struct rt_store *rt = t->ref.store->rt;
    uint32_t n = rt->n_frames, kept = n < RT_BACKTRACE_MAX ? n : RT_BACKTRACE_MAX;
    t->frames = kept ? api_new(api_alloc(t->ref.store), kept, sizeof *t->frames) : NULL;
    if (kept && !t->frames) return false;
    t->all_frames = n;
    for (uint32_t i = 0; i < n && t->n_frames < kept; i++) {
        const struct rt_frame *frame = rt_store_frame(rt, i);
        if (frame)
            t->frames[t->n_frames++] = *frame;
        else
            i = n - (kept - t->n_frames) - 1; /* to the outermost that are kept */
    }
    return true;
}

/* What a callback returned, unless another end overtook it. */
static wasm_trap_t *take_pending(wasm_store_t *store, enum atoll_status status) {
    wasm_trap_t *t = store->pending;
    store->pending = NULL;
    if (!t || (status == ATOLL_E_TRAP && store->rt->trap == RT_TRAP_HOST)) return t;
    wasm_trap_delete(t);
    return NULL;
}

wasm_trap_t *api_trap(wasm_store_t *store, enum atoll_status status, const struct atoll_error *err) {
    bool ran = status == ATOLL_E_TRAP || status == ATOLL_E_INTERRUPTED || status == ATOLL_E_EXIT;
    wasm_trap_t *t = take_pending(store, status);
    bool passed_on = t != NULL; /* by a callback: it keeps its code */
    if (!t) t = api_trap_text(store, err->text);
    if (t == store->spare) return t;
    if (!passed_on)
        t->code = ran ? store->rt->trap : status == ATOLL_E_NOMEM ? RT_TRAP_OUT_OF_MEMORY : RT_TRAP_NONE;
    t->exit_status = store->rt->exit_code;
    bool whole = !ran || t->frames || take_frames(t);
    if (whole && t->code == RT_TRAP_UNCAUGHT_EXCEPTION) whole = api_trap_take_exception(t);
    if (whole) return t;
    wasm_trap_delete(t);
    return api_trap_memory(store);
}

/* ---- looking ---- */

void wasm_trap_message(const wasm_trap_t *t, wasm_message_t *out) {
    api_bytes(api_alloc(t->ref.store), out, t->message.size, t->message.data);
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
    case RT_TRAP_OUT_OF_MEMORY: return ATOLL_TRAP_MEMORY;
    default: return ATOLL_TRAP_PROGRAM;
    }
}
int atoll_trap_exit_status(const wasm_trap_t *t) { return t->exit_status; }

/* ---- frames ---- */

static wasm_frame_t *new_frame(wasm_store_t *store, const struct rt_frame *from) {
    wasm_frame_t *f = api_new(api_alloc(store), 1, sizeof *f);
    if (!f) return NULL;
    *f = (wasm_frame_t){
        .store = store, .func_index = from->func, .module_offset = from->offset, .func_offset = from->offset};
    if (!from->instance) return f;
    const struct bc_module *bc = from->instance->module->bc;
    if (from->func < bc->n_funcs) f->func_offset -= bc->funcs[from->func].code_offset;
    f->instance = (wasm_instance_t *)api_ref(store, API_INSTANCE, (void *)(uintptr_t)from->instance, 0);
    if (f->instance) return f;
    api_free(f);
    return NULL;
}

wasm_frame_t *wasm_frame_copy(const wasm_frame_t *from) {
    wasm_frame_t *f = api_new(api_alloc(from->store), 1, sizeof *f);
    if (!f) return NULL;
    *f = *from;
    api_ref_copy((const struct wasm_ref_t *)from->instance);
    return f;
}
void wasm_frame_delete(wasm_frame_t *f) {
    if (!f) return;
    api_ref_delete((struct wasm_ref_t *)f->instance);
    api_free(f);
}
struct wasm_instance_t *wasm_frame_instance(const wasm_frame_t *f) {
    return f->instance;
}
uint32_t wasm_frame_func_index(const wasm_frame_t *f) { return f->func_index; }
size_t wasm_frame_func_offset(const wasm_frame_t *f) { return f->func_offset; }
size_t wasm_frame_module_offset(const wasm_frame_t *f) { return f->module_offset; }

static struct rt_module *module_of(const wasm_frame_t *f) {
    return f->instance ? ((const struct rt_instance *)f->instance->ref.entity)->module : NULL;
}
bool atoll_frame_func_name(const wasm_frame_t *f, wasm_name_t *out) {
    struct rt_module *module = module_of(f);
    struct bc_name name = {NULL, 0};
    if (module && f->func_index < module->bc->n_funcs) name = rt_module_func_name(module, f->func_index);
    return api_bytes(api_alloc(f->store), out, name.size, name.bytes);
}
bool atoll_frame_module_name(const wasm_frame_t *f, wasm_name_t *out) {
    const struct rt_module *module = module_of(f);
    const char *label = module ? module->label : "";
    return api_bytes(api_alloc(f->store), out, strlen(label), label);
}

#define INLINED_MAX 32

size_t atoll_frame_source(const wasm_frame_t *f, struct atoll_source *out, size_t max) {
    const struct rt_module *module = module_of(f);
    struct bc_source sources[INLINED_MAX];
    struct bc_debug *debug = module ? rt_module_debug(module) : NULL;
    size_t n = bc_debug_find(debug, (uint32_t)f->module_offset, sources,
                             max < INLINED_MAX ? (uint32_t)max : INLINED_MAX);
    for (size_t i = 0; i < n; i++) /* the names end with a zero byte in their sections */
        out[i] = (struct atoll_source){sources[i].function.bytes, sources[i].directory.bytes,
                                       sources[i].file.bytes, sources[i].line, sources[i].column};
    bc_debug_free(debug);
    return n;
}

wasm_frame_t *wasm_trap_origin(const wasm_trap_t *t) {
    return t->n_frames ? new_frame(t->ref.store, t->frames) : NULL;
}

/* All frames, or none when memory ends. */
void wasm_trap_trace(const wasm_trap_t *t, wasm_frame_vec_t *out) {
    api_frame_vec(api_alloc(t->ref.store), out, t->n_frames);
    bool ok = true;
    for (size_t i = 0; i < out->size; i++)
        ok &= (out->data[i] = new_frame(t->ref.store, t->frames + i)) != NULL;
    if (!ok) wasm_frame_vec_delete(out);
}

/* The store's record of its last trap becomes this one's, so that one function writes all backtraces. */
static void put_record(struct rt_store *rt, const wasm_trap_t *t) {
    rt->n_frames = 0;
    for (uint32_t i = 0; i < t->n_frames; i++) {
        if (i == RT_BACKTRACE_INNER && t->all_frames > t->n_frames)
            rt->n_frames = t->all_frames - (t->n_frames - i);
        rt_store_add_frame(rt, t->frames[i].instance, t->frames[i].func, t->frames[i].offset);
    }
}

bool atoll_trap_backtrace(const wasm_trap_t *t, wasm_byte_vec_t *out) {
    struct rt_store *rt = t->ref.store->rt;
    struct rt_frame saved[RT_BACKTRACE_MAX];
    uint32_t n_saved = rt->n_frames;
    struct bc_buf lines;
    memcpy(saved, rt->frames, sizeof saved);
    bc_buf_init(&lines, rt->engine->alloc);
    put_record(rt, t);
    rt_store_backtrace(rt, &lines);
    bool ok = !lines.failed && api_bytes(rt->engine->alloc, out, lines.size, lines.data);
    if (!ok) wasm_byte_vec_new_empty(out);
    bc_buf_fini(&lines);
    memcpy(rt->frames, saved, sizeof saved);
    rt->n_frames = n_saved;
    return ok;
}
