/* stdlib/native_callback.c: C calls the program. A callback runs only on a thread that is inside a call of
 * its library: that is looked up by comparing pointers, in a list of this thread's own, before anything else
 * of the library is read. So a call from another thread, or one behind the library's end, does nothing. */
#include "stdlib/native.h"

static _Thread_local struct native_call *innermost_call;

void native_calls_push(struct native_call *call) {
    call->outer = innermost_call;
    innermost_call = call;
}
void native_calls_pop(struct native_call *call) { innermost_call = call->outer; }

static bool is_calling(const struct native *n) {
    const struct native_call *c = innermost_call;
    while (c && c->n != n) c = c->outer;
    return c != NULL;
}

/* ---- a call ---- */

static enum rt_trap take_pointer(struct native_closure *k, const struct native_param *p, const void *pointer,
                                 union rt_slot *out) {
    const struct rt_instance *caller = k->caller;
    struct rt_memory *m = caller && caller->module->bc->n_memories ? caller->memories[0] : NULL;
    uint64_t at = m ? (uint64_t)((uintptr_t)pointer - (uintptr_t)m->base) : UINT64_MAX;
    if (!m || !rt_memory_at(m, at, 0))
        return native_refuse(k->type->of, p->name, "points outside of the program's memory");
    out->u64 = at;
    return RT_TRAP_NONE;
}

static enum rt_trap take_argument(struct native_closure *k, struct native *n, uint32_t i, const void *arg,
                                  union rt_slot *out) {
    const struct native_param *p = &k->type->of->params[i];
    union native_word word = {0};
    memcpy(&word, arg, p->kind == NATIVE_SCALAR ? p->scalar->host_size : sizeof(void *));
    out->u64 = 0;
    if (p->kind == NATIVE_SCALAR)
        return native_scalar_out(p->scalar, k->type->wide, word, out)
                   ? RT_TRAP_NONE
                   : native_refuse(k->type->of, p->name, "does not fit wasm32");
    if (p->kind == NATIVE_DATA) {
        out->u64 = k->type->wide ? word.u64 : (uint32_t)word.u64;
        return RT_TRAP_NONE;
    }
    if (!word.pointer) return RT_TRAP_NONE;
    if (p->kind == NATIVE_INSIDE) return take_pointer(k, p, word.pointer, out);
    struct native_handle *handle = native_handle_for(n, p->handle, word.pointer, NULL);
    if (!handle) return RT_TRAP_OUT_OF_MEMORY;
    out->ref = native_handle_word(handle);
    return RT_TRAP_NONE;
}

static enum rt_trap run(struct native_closure *k, struct native *n, void *result, void **args) {
    union rt_slot slots[NATIVE_PARAMS + 1];
    const struct native_func *type = k->type->of;
    uint32_t at = 0;
    for (uint32_t i = 0; i < type->n_params; i++) {
        if (type->params[i].kind == NATIVE_NULL) continue;
        enum rt_trap trap = take_argument(k, n, i, args[i], &slots[at++]);
        if (trap) return trap;
    }
    if (rt_call(n->store, k->target, slots, NULL))
        return n->store->trap ? n->store->trap
                              : rt_store_trap_text(n->store, "the callback could not be called");
    if (type->result.kind == NATIVE_VOID) return RT_TRAP_NONE;
    union native_word word = {0};
    if (!native_scalar_in(type->result.scalar, k->type->wide, slots[0], &word))
        return native_refuse(type, "result", "is out of range");
    memcpy(result, &word, sizeof word);
    return RT_TRAP_NONE;
}

/* What libffi calls. Where the program does not run, C gets zero: on another thread, behind the call that
 * passed it, behind a trap, behind the end. */
static void call_back(ffi_cif *cif, void *result, void **args, void *context) {
    struct native_closure *k = context;
    struct native *n = atomic_load_explicit(&k->native, memory_order_relaxed);
    if (cif->rtype != &ffi_type_void) memset(result, 0, sizeof(ffi_arg));
    if (!n || !is_calling(n) || n->pending) return;
    if (k->active || k->persistent) n->pending = run(k, n, result, args);
}

/* ---- closures ---- */

struct native_closure *native_closure_for(struct native_call *call, struct native_func *type,
                                          struct rt_func *target) {
    struct native *n = call->n;
    struct native_binding *binding = &type->bindings[call->wide];
    void *code;
    for (struct native_closure *k = n->closures; k; k = k->next)
        if (k->type == binding && k->target == target && k->caller == call->caller) return k;
    struct native_closure *k = ffi_closure_alloc(sizeof *k, &code);
    if (!k) return NULL;
    memset((char *)k + sizeof k->ffi, 0, sizeof *k - sizeof k->ffi);
    k->cif = type->cif;
    k->cif.arg_types = memcpy(k->args, type->ffi_params, sizeof k->args);
    k->type = binding;
    k->target = target;
    k->caller = call->caller;
    k->code = code;
    atomic_store(&k->native, n);
    if (ffi_prep_closure_loc(&k->ffi, &k->cif, call_back, k, code) != FFI_OK) {
        ffi_closure_free(k);
        return NULL;
    }
    k->next = n->closures;
    return n->closures = k;
}

void native_closures_free(struct native *n, bool unloaded) {
    for (struct native_closure *k = n->closures, *next; k; k = next) {
        next = k->next;
        atomic_store(&k->native, NULL);
        if (unloaded || !k->persistent) ffi_closure_free(k);
    }
    n->closures = NULL;
}
