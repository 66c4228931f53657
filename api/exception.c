/* api/exception.c: tags and exceptions: made, thrown, caught and looked at by the host. */
#include "api/internal.h"

/* ---- tags ---- */

wasm_extern_t *atoll_tag_new(wasm_store_t *store, const wasm_functype_t *type) {
    struct rt_tag *tag;
    const struct rt_type *rt = wasm_functype_results(type)->size ? NULL : api_rt_functype(store, type);
    if (!rt || rt_tag_new(store->rt, rt, &tag)) return NULL;
    return (wasm_extern_t *)api_ref(store, API_TAG, tag, 0);
}

/* ---- exceptions ---- */

/* A throw that nobody sees makes the object. Nothing is in flight while the host runs. */
static struct wasm_ref_t *new_exception(wasm_store_t *store, struct rt_tag *tag,
                                        const union rt_slot *values) {
    struct wasm_ref_t *ref = NULL;
    if (rt_throw(store->rt, tag, values) == RT_TRAP_UNCAUGHT_EXCEPTION) {
        void *object = rt_exception_ref(store->rt);
        if (object) ref = api_ref_of_object(store, object);
        rt_exception_caught(store->rt);
    }
    return ref;
}

wasm_ref_t *atoll_exception_new(const wasm_extern_t *tag, const wasm_val_vec_t *values) {
    wasm_store_t *store = tag->ref.store;
    union rt_slot slots[2 * BC_MAX_PARAMS];
    struct rt_tag *rt = tag->ref.entity;
    if (tag->ref.kind != API_TAG) return NULL;
    if (!api_to_slots(store, values, rt->type->params, rt->type->n_params, slots)) return NULL;
    return new_exception(store, rt, slots);
}

static const struct rt_exception *exception_of(const wasm_ref_t *ref) {
    return atoll_ref_kind(ref) == ATOLL_REF_EXCEPTION ? ref->entity : NULL;
}

wasm_extern_t *atoll_exception_tag(const wasm_ref_t *ref) {
    const struct rt_exception *e = exception_of(ref);
    return e ? (wasm_extern_t *)api_ref(ref->store, API_TAG, e->tag, 0) : NULL;
}

bool atoll_exception_values(const wasm_ref_t *ref, wasm_val_vec_t *out) {
    const struct rt_exception *e = exception_of(ref);
    wasm_val_vec_new_empty(out);
    if (!e) return false;
    const union rt_slot *slot = e->values;
    api_val_vec(api_alloc(ref->store), out, e->tag->type->n_params);
    bool ok = out->size == e->tag->type->n_params;
    for (uint32_t i = 0; i < out->size; i++) {
        ok &= api_from_slot(ref->store, slot, &e->tag->type->params[i], &out->data[i]);
        slot += api_slots_of(&e->tag->type->params[i]);
    }
    if (!ok) wasm_val_vec_delete(out);
    return ok;
}

/* ---- throwing and catching: what a trap carries ---- */

static void root(wasm_trap_t *t, void *exception) {
    t->ref.root.ref = exception;
    rt_root_add(t->ref.store->rt, &t->ref.root);
}

wasm_trap_t *atoll_throw(const wasm_ref_t *exception) {
    static const char text[] = "uncaught exception";
    if (!exception_of(exception)) return api_trap_text(exception->store, "what was thrown is no exception");
    wasm_trap_t *t = api_trap_text(exception->store, text);
    if (t == exception->store->spare) return t;
    t->code = RT_TRAP_UNCAUGHT_EXCEPTION;
    root(t, exception->entity);
    return t;
}

static bool has_references(const struct rt_type *type) {
    for (uint32_t i = 0; i < type->n_params; i++)
        if (type->params[i].kind == BC_KIND_REF) return true;
    return false;
}

/* Values without references are copied as they are: nobody has to find them. */
bool api_trap_take_exception(wasm_trap_t *t) {
    struct rt_store *rt = t->ref.store->rt;
    struct rt_tag *tag = rt->thrown_tag;
    if (!tag) return true;
    bool ok;
    if (rt->thrown || has_references(tag->type)) {
        void *object = rt_exception_ref(rt);
        ok = object != NULL;
        if (ok) root(t, object);
    } else {
        size_t n = tag->type->param_slots;
        t->values = api_new(api_alloc(t->ref.store), n, sizeof *t->values);
        ok = t->values != NULL;
        if (ok && n) memcpy(t->values, rt_exception_values(rt), n * sizeof *t->values);
        t->tag = tag;
    }
    rt_exception_caught(rt);
    return ok;
}

enum rt_trap api_trap_throw(const wasm_trap_t *t) {
    struct rt_store *rt = t->ref.store->rt;
    if (t->ref.root.ref) return rt_throw_ref(rt, t->ref.root.ref);
    return t->values ? rt_throw(rt, t->tag, t->values) : RT_TRAP_NONE;
}

wasm_ref_t *atoll_trap_exception(const wasm_trap_t *t) {
    wasm_store_t *store = t->ref.store;
    if (t->ref.root.ref) return api_ref_of_object(store, t->ref.root.ref);
    return t->values ? new_exception(store, t->tag, t->values) : NULL;
}
