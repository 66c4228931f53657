/* api/func.c: functions of the host, and calls. */
#include <stdlib.h>
#include "api/internal.h"

#define FEW 16 /* values kept on the native stack */

/* What a host function is called with; finalized with its store, as its handle's host info is. */
struct callback {
    wasm_store_t *store;
    const struct rt_type *type;
    wasm_func_callback_t plain;
    wasm_func_callback_with_env_t with_env;
    void *env;
    void (*finalizer)(void *);
};

struct values { /* results or parameters of one call */
    wasm_val_t few[FEW], *data;
    uint32_t n;
};

static bool begin_values(struct values *v, uint32_t n) {
    v->n = n;
    v->data = n <= FEW ? v->few : calloc(n, sizeof *v->data);
    for (uint32_t i = 0; v->data && i < n; i++) v->data[i] = (wasm_val_t)WASM_INIT_VAL;
    return v->data != NULL;
}
static void end_values(struct values *v) {
    for (uint32_t i = 0; v->data && i < v->n; i++) wasm_val_delete(&v->data[i]);
    if (v->data != v->few) free(v->data);
}

static bool take_params(const struct callback *c, const union rt_slot *slots, struct values *out) {
    for (uint32_t i = 0; i < c->type->n_params; i++)
        if (!api_from_slot(c->store, slots[i], &c->type->params[i], &out->data[i])) return false;
    return true;
}

static enum rt_trap call_host(struct rt_store *rt, struct rt_instance *caller, void *context,
                              union rt_slot *slots) {
    struct callback *c = context;
    struct values params, results = {.data = NULL};
    enum rt_trap trap = RT_TRAP_NONE;
    wasm_trap_t *thrown = NULL;
    (void)caller;
    bool ok = begin_values(&params, c->type->n_params) && begin_values(&results, c->type->n_results) &&
              take_params(c, slots, &params);
    if (ok) {
        wasm_val_vec_t in = {params.n, params.data}, out = {results.n, results.data};
        thrown = c->plain ? c->plain(&in, &out) : c->with_env(c->env, &in, &out);
    } else {
        trap = RT_TRAP_OUT_OF_MEMORY;
    }
    if (thrown) {
        if (c->store->pending) wasm_trap_delete(c->store->pending);
        c->store->pending = thrown;
        trap = rt_store_trap_text(rt, "%.*s", (int)(thrown->message.size < 180 ? thrown->message.size : 180),
                                  thrown->message.size ? thrown->message.data : "");
    } else if (ok) {
        wasm_val_vec_t out = {results.n, results.data};
        if (!api_to_slots(c->store, &out, c->type->results, c->type->n_results, slots))
            trap = rt_store_trap_text(rt, "a host function's result is not of its type");
    }
    end_values(&params);
    end_values(&results);
    return trap;
}

static void end_callback(void *p) {
    struct callback *c = p;
    if (c->finalizer) c->finalizer(c->env);
    free(c);
}

static const struct rt_type *type_of(wasm_store_t *store, const wasm_functype_t *type) {
    const wasm_valtype_vec_t *lists[] = {wasm_functype_params(type), wasm_functype_results(type)};
    struct rt_valtype *types = calloc(lists[0]->size + lists[1]->size + 1, sizeof *types);
    if (!types) return NULL;
    size_t n = 0;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->size; i++) types[n++] = api_valtype(lists[k]->data[i]);
    const struct rt_type *t = rt_func_type(store->rt->engine, types, (uint32_t)lists[0]->size,
                                           types + lists[0]->size, (uint32_t)lists[1]->size);
    free(types);
    return t;
}

static wasm_func_t *new_func(wasm_store_t *store, const wasm_functype_t *type, struct callback given) {
    struct callback *c = malloc(sizeof *c);
    struct rt_func *rt = NULL;
    wasm_func_t *f = NULL;
    given.type = type_of(store, type);
    given.store = store;
    /* a handle of its own carries the finalizer, so that the function's host info stays free */
    struct wasm_ref_t *keeper = api_ref(store, API_FOREIGN, NULL, 0);
    if (c && keeper && given.type && !rt_host_func_new(store->rt, given.type, call_host, c, "host", &rt))
        f = (wasm_func_t *)api_ref(store, API_FUNC, rt, 0);
    if (f) {
        *c = given;
        wasm_ref_set_host_info_with_finalizer(keeper, c, end_callback);
    } else {
        free(c);
    }
    api_ref_delete(keeper);
    return f;
}

wasm_func_t *wasm_func_new(wasm_store_t *store, const wasm_functype_t *type, wasm_func_callback_t callback) {
    return new_func(store, type, (struct callback){.plain = callback});
}
wasm_func_t *wasm_func_new_with_env(wasm_store_t *store, const wasm_functype_t *type,
                                    wasm_func_callback_with_env_t callback, void *env,
                                    void (*finalizer)(void *)) {
    return new_func(store, type, (struct callback){.with_env = callback, .env = env, .finalizer = finalizer});
}

static const struct rt_func *rt_of(const wasm_func_t *f) { return f->ref.entity; }
wasm_functype_t *wasm_func_type(const wasm_func_t *f) { return api_functype(rt_of(f)->type); }
size_t wasm_func_param_arity(const wasm_func_t *f) { return rt_of(f)->type->n_params; }
size_t wasm_func_result_arity(const wasm_func_t *f) { return rt_of(f)->type->n_results; }

static bool has_vectors(const struct rt_type *t) {
    return t->param_slots != t->n_params || t->result_slots != t->n_results;
}

wasm_trap_t *wasm_func_call(const wasm_func_t *f, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    wasm_store_t *store = f->ref.store;
    const struct rt_type *type = rt_of(f)->type;
    union rt_slot few[FEW], *slots = few;
    size_t n = type->n_params > type->n_results ? type->n_params : type->n_results;
    if (has_vectors(type)) return api_trap_text(store, "values of 128 bits do not pass this interface");
    if (args->size != type->n_params) return api_trap_text(store, "wrong number of arguments");
    if (n > FEW) slots = calloc(n, sizeof *slots);
    if (!slots) return api_trap_text(store, "out of memory");
    wasm_trap_t *trap = NULL;
    struct atoll_error err = {0};
    if (!api_to_slots(store, args, type->params, type->n_params, slots)) {
        trap = api_trap_text(store, "an argument is not of its parameter's type");
    } else {
        enum atoll_status status = rt_call(store->rt, f->ref.entity, slots, &err);
        if (status) trap = api_trap(store, status, &err);
        /* a caller may have no use for results */
        for (uint32_t i = 0; !status && results && i < type->n_results && i < results->size; i++)
            if (!api_from_slot(store, slots[i], &type->results[i], &results->data[i]) && !trap)
                trap = api_trap_text(store, "out of memory");
    }
    if (slots != few) free(slots);
    return trap;
}
