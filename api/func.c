/* api/func.c: functions of the host, and calls. */
#include "api/internal.h"

/* Values and slots of a call lie on the native stack, where the collector sees references. */
#define FEW  16
#define MANY (2 * (BC_MAX_PARAMS > BC_MAX_RESULTS ? BC_MAX_PARAMS : BC_MAX_RESULTS))

struct api_callback { /* what a host function is called with; lives as long as its store */
    struct api_callback *next;
    wasm_store_t *store;
    const struct rt_type *type;
    wasm_func_callback_t plain;
    wasm_func_callback_with_env_t with_env;
    void *env;
    void (*finalizer)(void *);
    bool ended; /* its env is gone */
};

/* ---- a program calls the host ---- */

struct values { /* results or parameters of one call */
    wasm_val_t few[FEW], *data;
    uint32_t n;
};

static bool begin_values(const struct atoll_alloc *alloc, struct values *v, uint32_t n) {
    v->n = n;
    v->data = n <= FEW ? v->few : api_new(alloc, n, sizeof *v->data);
    for (uint32_t i = 0; v->data && i < n; i++) v->data[i] = (wasm_val_t)WASM_INIT_VAL;
    return v->data != NULL;
}
static void end_values(struct values *v) {
    for (uint32_t i = 0; v->data && i < v->n; i++) wasm_val_delete(&v->data[i]);
    if (v->data != v->few) api_free(v->data);
}

/* Each value becomes a handle, which keeps it, while the slots still do. */
static bool take_params(const struct api_callback *c, const union rt_slot *slots, struct values *out) {
    for (uint32_t i = 0; i < c->type->n_params; i++) {
        if (!api_from_slot(c->store, slots, &c->type->params[i], &out->data[i])) return false;
        slots += api_slots_of(&c->type->params[i]);
    }
    return true;
}

/* Ends that are no faults go on as what they are; a trap waits as an object for api_trap. */
static enum rt_trap let_through(wasm_store_t *store, wasm_trap_t *thrown) {
    enum rt_trap trap = api_trap_throw(thrown), code = thrown->code;
    if (code == RT_TRAP_EXIT) store->rt->exit_code = thrown->exit_status;
    if (code == RT_TRAP_EXIT || code == RT_TRAP_OUT_OF_FUEL || code == RT_TRAP_INTERRUPTED ||
        code == RT_TRAP_TIMEOUT)
        trap = code;
    if (trap) {
        wasm_trap_delete(thrown);
        return trap;
    }
    if (store->pending) wasm_trap_delete(store->pending);
    store->pending = thrown;
    int size = (int)(thrown->message.size < 480 ? thrown->message.size : 480);
    return rt_store_trap_text(store->rt, "%.*s", size, size ? thrown->message.data : "");
}

static enum rt_trap call_host(struct rt_store *rt, struct rt_instance *caller, void *context,
                              union rt_slot *slots) {
    struct api_callback *c = context;
    struct values params, results = {.data = NULL};
    const struct atoll_alloc *alloc = rt->engine->alloc;
    enum rt_trap trap = RT_TRAP_OUT_OF_MEMORY;
    (void)caller;
    if (c->ended) return rt_store_trap_text(rt, "a host function was called behind the end of its store");
    if (begin_values(alloc, &params, c->type->n_params) &&
        begin_values(alloc, &results, c->type->n_results) && take_params(c, slots, &params)) {
        wasm_val_vec_t in = {params.n, params.data}, out = {results.n, results.data};
        wasm_trap_t *thrown = c->plain ? c->plain(&in, &out) : c->with_env(c->env, &in, &out);
        trap = RT_TRAP_NONE;
        if (thrown)
            trap = let_through(c->store, thrown);
        else if (!api_to_slots(c->store, &(wasm_val_vec_t){results.n, results.data}, c->type->results,
                               c->type->n_results, slots))
            trap = rt_store_trap_text(rt, "a host function's result is not of its type");
    }
    end_values(&params);
    end_values(&results);
    return trap;
}

/* ---- host functions ---- */

void api_callbacks_close(wasm_store_t *store) {
    for (struct api_callback *c = store->callbacks; c; c = c->next) {
        void (*finalizer)(void *) = c->finalizer;
        if (!finalizer) continue;
        c->finalizer = NULL;
        c->ended = true;
        finalizer(c->env);
    }
}
void api_callbacks_free(wasm_store_t *store) {
    for (struct api_callback *c = store->callbacks, *next; c; c = next) {
        next = c->next;
        if (c->finalizer) c->finalizer(c->env);
        api_free(c);
    }
}

const struct rt_type *api_rt_functype(wasm_store_t *store, const wasm_functype_t *type) {
    const wasm_valtype_vec_t *lists[] = {wasm_functype_params(type), wasm_functype_results(type)};
    if (lists[0]->size > BC_MAX_PARAMS || lists[1]->size > BC_MAX_RESULTS) return NULL;
    struct rt_valtype *types = api_new(api_alloc(store), lists[0]->size + lists[1]->size, sizeof *types);
    if (!types) return NULL;
    size_t n = 0;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->size; i++) types[n++] = api_valtype(lists[k]->data[i]);
    const struct rt_type *t = rt_func_type(store->rt->engine, types, (uint32_t)lists[0]->size,
                                           types + lists[0]->size, (uint32_t)lists[1]->size);
    api_free(types);
    return t;
}

/* On failure the finalizer does not run: env stays the caller's. */
static wasm_func_t *new_func(wasm_store_t *store, const wasm_functype_t *type, struct api_callback given) {
    struct api_callback *c = api_new(api_alloc(store), 1, sizeof *c);
    struct rt_func *rt = NULL;
    wasm_func_t *f = NULL;
    given.type = api_rt_functype(store, type);
    given.store = store;
    if (c && given.type && !rt_host_func_new(store->rt, given.type, call_host, c, "host", &rt))
        f = (wasm_func_t *)api_ref(store, API_FUNC, rt, 0);
    if (!f) {
        api_free(c);
        return NULL;
    }
    *c = given;
    c->next = store->callbacks;
    store->callbacks = c;
    return f;
}

wasm_func_t *wasm_func_new(wasm_store_t *store, const wasm_functype_t *type, wasm_func_callback_t callback) {
    return new_func(store, type, (struct api_callback){.plain = callback});
}
wasm_func_t *wasm_func_new_with_env(wasm_store_t *store, const wasm_functype_t *type,
                                    wasm_func_callback_with_env_t callback, void *env,
                                    void (*finalizer)(void *)) {
    return new_func(store, type,
                    (struct api_callback){.with_env = callback, .env = env, .finalizer = finalizer});
}

static const struct rt_func *rt_of(const wasm_func_t *f) { return f->ref.entity; }
wasm_functype_t *wasm_func_type(const wasm_func_t *f) {
    return api_functype(api_alloc(f->ref.store), rt_of(f)->type, WASM_EXTERN_FUNC);
}
size_t wasm_func_param_arity(const wasm_func_t *f) { return rt_of(f)->type->n_params; }
size_t wasm_func_result_arity(const wasm_func_t *f) { return rt_of(f)->type->n_results; }

/* ---- the host calls a program ---- */

static wasm_trap_t *call(const wasm_func_t *f, const wasm_val_vec_t *args, wasm_val_vec_t *results,
                         union rt_slot *slots) {
    wasm_store_t *store = f->ref.store;
    const struct rt_type *type = rt_of(f)->type;
    struct atoll_error err = {0};
    if (!api_to_slots(store, args, type->params, type->n_params, slots))
        return api_trap_text(store, "an argument is not of its parameter's type");
    enum atoll_status status = rt_call(store->rt, f->ref.entity, slots, &err);
    if (status) return api_trap(store, status, &err);
    bool ok = true; /* a caller may have no use for results */
    for (uint32_t i = 0; results && i < type->n_results && i < results->size; i++) {
        ok &= api_from_slot(store, slots, &type->results[i], &results->data[i]);
        slots += api_slots_of(&type->results[i]);
    }
    if (ok) return NULL;
    for (uint32_t i = 0; i < type->n_results && i < results->size; i++) wasm_val_delete(&results->data[i]);
    return api_trap_memory(store);
}

static __attribute__((noinline)) wasm_trap_t *call_few(const wasm_func_t *f, const wasm_val_vec_t *args,
                                                       wasm_val_vec_t *results) {
    union rt_slot slots[FEW];
    return call(f, args, results, slots);
}
static __attribute__((noinline)) wasm_trap_t *call_many(const wasm_func_t *f, const wasm_val_vec_t *args,
                                                        wasm_val_vec_t *results) {
    union rt_slot slots[MANY];
    return call(f, args, results, slots);
}

wasm_trap_t *wasm_func_call(const wasm_func_t *f, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    wasm_store_t *store = f->ref.store;
    const struct rt_type *type = rt_of(f)->type;
    if (args->size != type->n_params) return api_trap_text(store, "wrong number of arguments");
    api_enter(store);
    wasm_trap_t *trap = type->param_slots > FEW || type->result_slots > FEW ? call_many(f, args, results)
                                                                            : call_few(f, args, results);
    api_leave(store);
    return trap;
}
