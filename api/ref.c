/* api/ref.c: handles of a store's entities, host info, and references as values. */
#include "api/internal.h"

/* ---- the table of handles ---- */

#define FIRST_BUCKETS 64

static struct wasm_ref_t **bucket(const wasm_store_t *s, const void *entity) {
    return &s->buckets[((uintptr_t)entity >> 4) * 0x9E3779B1u >> 7 & (s->n_buckets - 1)];
}

static struct wasm_ref_t *known(const wasm_store_t *s, enum api_kind kind, const void *entity) {
    struct wasm_ref_t *r = s->n_buckets ? *bucket(s, entity) : NULL;
    while (r && !(r->entity == entity && r->kind == kind)) r = r->next;
    return r;
}

/* Keeps the lists short; without memory for that they grow longer. */
static bool make_room(wasm_store_t *s) {
    if (s->n_handles < s->n_buckets) return true;
    struct wasm_ref_t **old = s->buckets;
    size_t n = s->n_buckets;
    struct wasm_ref_t **fresh = api_new(api_alloc(s), n ? 2 * n : FIRST_BUCKETS, sizeof(void *));
    if (!fresh) return n != 0;
    s->buckets = fresh;
    s->n_buckets = n ? 2 * n : FIRST_BUCKETS;
    for (size_t i = 0; i < n; i++)
        for (struct wasm_ref_t *r = old[i], *next; r; r = next) {
            struct wasm_ref_t **to = bucket(s, r->entity);
            next = r->next;
            r->next = *to;
            *to = r;
        }
    api_free(old);
    return true;
}

struct wasm_ref_t *api_ref(wasm_store_t *store, enum api_kind kind, void *entity, size_t size) {
    struct wasm_ref_t *r = entity ? known(store, kind, entity) : NULL;
    if (r) return api_ref_copy(r);
    r = make_room(store) ? api_new(api_alloc(store), 1, size ? size : sizeof *r) : NULL;
    if (!r) return NULL;
    *r = (struct wasm_ref_t){.kind = (uint8_t)kind, .refs = 1, .store = store, .entity = entity ? entity : r};
    struct wasm_ref_t **at = bucket(store, r->entity);
    r->next = *at;
    *at = r;
    store->n_handles++;
    if (kind == API_MODULE) rt_module_ref(entity);
    api_store_ref(store);
    return r;
}

/* What a handle owns besides itself. */
static void finish(struct wasm_ref_t *r) {
    if (r->finalizer) r->finalizer(r->host_info);
    if (r->kind == API_MODULE) rt_module_unref(r->entity);
    if (r->root.ref) rt_root_remove(&r->root);
    if (r->kind == API_TRAP) api_trap_free((wasm_trap_t *)r);
    r->store->n_handles--;
    api_free(r);
}

void api_ref_delete(struct wasm_ref_t *r) {
    if (!r) return;
    wasm_store_t *store = r->store;
    if (--r->refs == 0 && !r->pinned) {
        struct wasm_ref_t **link = bucket(store, r->entity);
        while (*link != r) link = &(*link)->next;
        *link = r->next;
        finish(r);
    }
    api_store_unref(store);
}

struct wasm_ref_t *api_ref_copy(const struct wasm_ref_t *from) {
    struct wasm_ref_t *r = (struct wasm_ref_t *)(uintptr_t)from; /* a copy is a count */
    if (!r) return NULL;
    r->refs++;
    api_store_ref(r->store);
    return r;
}

static struct wasm_ref_t *with_finalizer(struct wasm_ref_t *r) {
    while (r && !r->finalizer) r = r->next;
    return r;
}

/* A finalizer may delete handles: after each one the list is looked at anew. */
void api_refs_close(wasm_store_t *store) {
    for (size_t i = 0; i < store->n_buckets; i++)
        for (struct wasm_ref_t *r; (r = with_finalizer(store->buckets[i]));) {
            void (*finalizer)(void *) = r->finalizer;
            void *info = r->host_info;
            r->finalizer = NULL;
            r->host_info = NULL;
            finalizer(info);
        }
}

void api_refs_free(wasm_store_t *store) {
    for (size_t i = 0; i < store->n_buckets; i++)
        while (store->buckets[i]) {
            struct wasm_ref_t *r = store->buckets[i];
            store->buckets[i] = r->next;
            finish(r);
        }
    api_free(store->buckets);
}

static void set_info(struct wasm_ref_t *r, void *info, void (*finalizer)(void *)) {
    void (*old)(void *) = r->finalizer;
    void *old_info = r->host_info;
    r->host_info = info;
    r->finalizer = finalizer;
    r->pinned |= info || finalizer;
    if (old) old(old_info);
}

/* ---- the same functions for every kind ---- */

#define REF_BASE(name)                                                                                       \
    void wasm_##name##_delete(wasm_##name##_t *r) { api_ref_delete((struct wasm_ref_t *)r); }                \
    wasm_##name##_t *wasm_##name##_copy(const wasm_##name##_t *r) {                                          \
        return (wasm_##name##_t *)api_ref_copy((const struct wasm_ref_t *)r);                                \
    }                                                                                                        \
    bool wasm_##name##_same(const wasm_##name##_t *a, const wasm_##name##_t *b) {                            \
        return (const void *)a == (const void *)b;                                                           \
    }                                                                                                        \
    void *wasm_##name##_get_host_info(const wasm_##name##_t *r) {                                            \
        return ((const struct wasm_ref_t *)r)->host_info;                                                    \
    }                                                                                                        \
    void wasm_##name##_set_host_info(wasm_##name##_t *r, void *info) {                                       \
        set_info((struct wasm_ref_t *)r, info, NULL);                                                        \
    }                                                                                                        \
    void wasm_##name##_set_host_info_with_finalizer(wasm_##name##_t *r, void *info,                          \
                                                    void (*finalizer)(void *)) {                             \
        set_info((struct wasm_ref_t *)r, info, finalizer);                                                   \
    }
#define REF(name, test)                                                                                      \
    REF_BASE(name)                                                                                           \
    wasm_ref_t *wasm_##name##_as_ref(wasm_##name##_t *r) { return (wasm_ref_t *)r; }                         \
    const wasm_ref_t *wasm_##name##_as_ref_const(const wasm_##name##_t *r) { return (const wasm_ref_t *)r; } \
    wasm_##name##_t *wasm_ref_as_##name(wasm_ref_t *r) { return r && (test) ? (wasm_##name##_t *)r : NULL; } \
    const wasm_##name##_t *wasm_ref_as_##name##_const(const wasm_ref_t *r) {                                 \
        return r && (test) ? (const wasm_##name##_t *)r : NULL;                                              \
    }
REF_BASE(ref)
REF(trap, r->kind == API_TRAP)
REF(foreign, r->kind == API_FOREIGN)
REF(module, r->kind == API_MODULE)
REF(func, r->kind == API_FUNC)
REF(global, r->kind == API_GLOBAL)
REF(table, r->kind == API_TABLE)
REF(memory, r->kind == API_MEMORY)
REF(extern, r->kind <= API_TAG)
REF(instance, r->kind == API_INSTANCE)

wasm_foreign_t *wasm_foreign_new(wasm_store_t *store) {
    return (wasm_foreign_t *)api_ref(store, API_FOREIGN, NULL, 0);
}

/* ---- values ---- */

/* Of 128 bits: in memory of its own, which belongs to the value. */
static bool box(const struct atoll_alloc *alloc, const void *bits, wasm_val_t *out) {
    void *copy = api_new(alloc, 1, 16);
    *out = (wasm_val_t){.kind = ATOLL_V128, .of.ref = copy};
    if (copy) memcpy(copy, bits, 16);
    return copy != NULL;
}
bool atoll_v128_new(const uint8_t bytes[16], wasm_val_t *out) {
    return box(&atoll_default_alloc, bytes, out);
}
bool atoll_v128_get(const wasm_val_t *value, uint8_t out[16]) {
    if (value->kind != ATOLL_V128 || !value->of.ref) return false;
    memcpy(out, value->of.ref, 16);
    return true;
}

void wasm_val_delete(wasm_val_t *v) {
    if (v->kind == ATOLL_V128) {
        api_free(v->of.ref);
        v->of.ref = NULL;
    }
    if (wasm_valkind_is_ref(v->kind)) {
        api_ref_delete(v->of.ref);
        v->of.ref = NULL;
    }
}
void wasm_val_copy(wasm_val_t *out, const wasm_val_t *v) {
    *out = *v;
    if (wasm_valkind_is_ref(v->kind)) out->of.ref = api_ref_copy(v->of.ref);
    if (v->kind == ATOLL_V128 && v->of.ref) box(api_alloc_of(v->of.ref), v->of.ref, out);
}

static bool is_extern(const struct rt_valtype *type) {
    return !type->type && (type->heap == BC_HEAP_EXTERN || type->heap == BC_HEAP_NOEXTERN);
}
static bool is_exn(const struct rt_valtype *type) {
    return !type->type && (type->heap == BC_HEAP_EXN || type->heap == BC_HEAP_NOEXN);
}

/* As a value of the extern, exn or any hierarchy; NULL when it has no place there, or no memory for one. */
static void *managed_of(wasm_store_t *store, struct wasm_ref_t *ref, const struct rt_valtype *type) {
    bool object = ref->kind == API_VALUE;
    bool exception =
        object && !rt_ref_is_i31(ref->entity) && rt_ref_layout(ref->entity)->form == RT_OBJECT_EXCEPTION;
    if (exception != is_exn(type)) return NULL;
    if (exception) return ref->entity;
    if (ref->kind == API_WORD)
        return is_extern(type) ? ref->entity : rt_ref_internalize(store->rt, ref->entity);
    if (object) return is_extern(type) ? rt_ref_externalize(ref->entity) : ref->entity;
    ref->pinned = true; /* the program may keep it */
    return is_extern(type) ? ref : rt_ref_internalize(store->rt, ref);
}

bool api_ref_to_slot(wasm_store_t *store, struct wasm_ref_t *ref, const struct rt_valtype *type,
                     union rt_slot *out) {
    out->u64 = 0;
    if (!ref) return type->nullable;
    if (ref->store != store) return false;
    if (rt_valtype_managed(type))
        out->ref = managed_of(store, ref, type);
    else
        out->ref = ref->kind == API_FUNC ? ref->entity : NULL;
    return out->ref && rt_ref_matches(out->ref, type);
}

struct wasm_ref_t *api_ref_of_object(wasm_store_t *store, void *object) {
    struct wasm_ref_t *r = api_ref(store, API_VALUE, object, 0);
    if (!r || r->root.ref) return r;
    r->root.ref = object;
    rt_root_add(store->rt, &r->root);
    return r;
}

/* Other owners of externrefs use words that are no addresses. */
static struct wasm_ref_t *ref_of_host(wasm_store_t *store, void *word) {
    return (uintptr_t)word >> 63 ? api_ref(store, API_WORD, word, 0) : api_ref_copy(word);
}

struct wasm_ref_t *api_ref_from_slot(wasm_store_t *store, union rt_slot slot, const struct rt_valtype *type) {
    if (!slot.ref) return NULL;
    if (!rt_valtype_managed(type)) return api_ref(store, API_FUNC, slot.ref, 0);
    void *any = slot.ref;
    if (is_extern(type)) {
        bool of_host = !((uintptr_t)slot.ref & 3);
        if (of_host) return ref_of_host(store, slot.ref);
        any = rt_ref_internalize(store->rt, slot.ref);
    } else if (!rt_ref_is_i31(any) && rt_ref_layout(any)->form == RT_OBJECT_HOST) {
        return ref_of_host(store, rt_ref_externalize(any));
    }
    return api_ref_of_object(store, any);
}

bool api_to_slot(wasm_store_t *store, const wasm_val_t *v, const struct rt_valtype *type,
                 union rt_slot *out) {
    if (v->kind != api_kind_of(type)) return false;
    out->u64 = 0;
    switch (v->kind) {
    case WASM_I32: out->i32 = v->of.i32; return true;
    case WASM_I64: out->i64 = v->of.i64; return true;
    case WASM_F32: out->f32 = v->of.f32; return true;
    case WASM_F64: out->f64 = v->of.f64; return true;
    case ATOLL_V128: return atoll_v128_get(v, (uint8_t *)out);
    default: return api_ref_to_slot(store, v->of.ref, type, out);
    }
}

/* A host's reference becomes an object where it stands as a value of the any hierarchy. */
static bool may_hold(wasm_store_t *store, const struct rt_valtype *types, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (rt_valtype_managed(&types[i]) && !is_extern(&types[i]) && !is_exn(&types[i]))
            return !rt_heap_start(store->rt, NULL);
    return true;
}

bool api_to_slots(wasm_store_t *store, const wasm_val_vec_t *values, const struct rt_valtype *types,
                  uint32_t n, union rt_slot *out) {
    if (values->size != n || !may_hold(store, types, n)) return false;
    /* what is made here is seen by nobody else until all of it is where the collector looks */
    bool paused = rt_heap_pause(store->rt);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        ok = ok && api_to_slot(store, &values->data[i], &types[i], out);
        out += api_slots_of(&types[i]);
    }
    rt_heap_resume(paused);
    return ok;
}

bool api_from_slot(wasm_store_t *store, const union rt_slot *slot, const struct rt_valtype *type,
                   wasm_val_t *out) {
    *out = (wasm_val_t){.kind = api_kind_of(type)};
    switch (out->kind) {
    case WASM_I32: out->of.i32 = slot->i32; break;
    case WASM_I64: out->of.i64 = slot->i64; break;
    case WASM_F32: out->of.f32 = slot->f32; break;
    case WASM_F64: out->of.f64 = slot->f64; break;
    case ATOLL_V128: return box(api_alloc(store), slot, out);
    default: out->of.ref = api_ref_from_slot(store, *slot, type); return out->of.ref || !slot->ref;
    }
    return true;
}
