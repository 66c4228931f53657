/* stdlib/native_call.c: one call into a native library.
 *
 *   slots -> checked host values (scalars, cells, then buffers whose length they give) -> ffi_call
 *         -> cells and structs back into memory -> results
 *
 * Buffers are passed in place: a memory's base never moves and it never shrinks, so they stay valid when a
 * callback grows it. Those of a shared memory are copied. What C reads as a length was copied before it was
 * checked. */
#include "stdlib/native.h"

#include <errno.h>

enum { COPY_BYTES = NATIVE_FIELDS * 8 };
union word {
    uint64_t u64;
    int64_t i64;
    float f32;
    double f64;
    void *pointer;
    uint8_t bytes[8];
};
struct call_string { /* or a buffer of a shared memory */
    struct call_string *next;
    void *back; /* where the program wants what C wrote; NULL: nowhere */
    size_t size;
    _Alignas(16) char bytes[];
};
struct call {
    struct native_func *f;
    struct native *n;
    struct rt_instance *caller;
    struct rt_memory *memory; /* NULL: the caller has none */
    union word words[NATIVE_PARAMS];
    void *values[NATIVE_PARAMS]; /* as libffi takes them */
    uint32_t addresses[NATIVE_PARAMS];
    struct native_handle *handles[NATIVE_PARAMS];
    struct native_closure *closures[NATIVE_PARAMS];
    struct call_string *strings; /* copies, freed behind the call */
    _Alignas(16) uint8_t copies[NATIVE_PARAMS][COPY_BYTES];
    _Alignas(16) uint8_t result[COPY_BYTES];
};

static enum rt_trap refuse(const struct call *c, const char *param, const char *why) {
    return rt_store_trap_text(c->n->store, "%s.%s: %s: %s", c->n->module, c->f->name, param, why);
}

static void *guest_at(const struct call *c, uint64_t at, uint64_t size) {
    return c->memory ? rt_memory_at(c->memory, at, size) : NULL;
}

/* ---- scalars ---- */

/* Sign- or zero-extends the low `size` bytes. */
static int64_t extend(uint64_t bits, unsigned size, bool is_signed) {
    unsigned shift = 64 - 8 * size;
    return is_signed ? (int64_t)(bits << shift) >> shift : (int64_t)(bits << shift >> shift);
}

static bool scalar_in(const struct native_scalar *s, union rt_slot slot, union word *out) {
    if (s->is_float || s->guest_size == 8) return out->u64 = slot.u64, true;
    int64_t wide = extend(slot.u64, 4, s->is_signed);
    *out = (union word){.i64 = wide};
    if (s->ffi == &ffi_type_uint8 && s->name[s->name[0] == '_'] != 'u') return slot.u32 <= 1; /* bool */
    return extend((uint64_t)wide, s->host_size, s->is_signed) == wide;
}

/* False when the host's value does not fit the guest's type (long, size_t). */
static bool scalar_out(const struct native_scalar *s, union word word, union rt_slot *out) {
    out->u64 = 0;
    if (s->is_float || s->guest_size == 8) {
        memcpy(out, &word, s->host_size);
        return true;
    }
    int64_t wide = extend(word.u64, s->host_size, s->is_signed);
    out->u32 = (uint32_t)wide;
    return extend((uint64_t)wide, s->guest_size, s->is_signed) == wide;
}

static void load_scalar(const struct native_scalar *s, const uint8_t *guest, uint8_t *host) {
    uint64_t bits = 0;
    memcpy(&bits, guest, s->guest_size);
    if (!s->is_float) bits = (uint64_t)extend(bits, s->guest_size, s->is_signed);
    if (s->name[0] == '_' || s->name[0] == 'b') bits = bits != 0; /* no other byte is a bool to C */
    memcpy(host, &bits, s->host_size);
}

static bool store_scalar(const struct native_scalar *s, const uint8_t *host, uint8_t *guest) {
    union word word = {0};
    union rt_slot slot;
    memcpy(&word, host, s->host_size);
    bool fits = scalar_out(s, word, &slot);
    memcpy(guest, &slot, s->guest_size);
    return fits;
}

static void load_struct(const struct native_struct *s, const uint8_t *guest, uint8_t *host) {
    for (uint32_t i = 0; i < s->n_fields; i++)
        load_scalar(s->fields[i].scalar, guest + s->fields[i].guest_at, host + s->fields[i].host_at);
}

static bool store_struct(const struct native_struct *s, const uint8_t *host, uint8_t *guest) {
    bool fits = true;
    for (uint32_t i = 0; i < s->n_fields; i++)
        fits &= store_scalar(s->fields[i].scalar, host + s->fields[i].host_at, guest + s->fields[i].guest_at);
    return fits;
}

/* ---- callbacks ---- */

static struct native_closure *closure_for(struct call *c, struct native_func *type, struct rt_func *target) {
    struct native *n = c->n;
    for (struct native_closure *k = n->closures; k; k = k->next)
        if (k->type == type && k->target == target && k->caller == c->caller) return k;
    struct native_closure *k = atoll_new(n->alloc, 1, sizeof *k);
    if (!k) return NULL;
    *k = (struct native_closure){
        .next = n->closures, .native = n, .type = type, .target = target, .caller = c->caller};
    k->closure = ffi_closure_alloc(sizeof *k->closure, &k->code);
    if (!k->closure || ffi_prep_closure_loc(k->closure, &type->cif, native_callback, k, k->code) != FFI_OK) {
        if (k->closure) ffi_closure_free(k->closure);
        atoll_free(n->alloc, k, sizeof *k);
        return NULL;
    }
    return n->closures = k;
}

static enum rt_trap callback_argument(struct native_closure *k, uint32_t i, void *arg, union rt_slot *out) {
    const struct native_param *p = &k->type->params[i];
    union word word = {0};
    memcpy(&word, arg, p->kind == NATIVE_SCALAR ? p->scalar->host_size : sizeof(void *));
    struct call c = {.f = k->type, .n = k->native};
    out->u64 = 0;
    if (p->kind == NATIVE_SCALAR)
        return scalar_out(p->scalar, word, out) ? RT_TRAP_NONE : refuse(&c, p->name, "does not fit wasm32");
    if (p->kind == NATIVE_DATA) return out->u32 = (uint32_t)word.u64, RT_TRAP_NONE;
    if (!word.pointer) return RT_TRAP_NONE;
    if (p->kind == NATIVE_HANDLE) {
        out->ref = native_handle_for(k->native, p->handle, word.pointer);
        return out->ref ? RT_TRAP_NONE : RT_TRAP_OUT_OF_MEMORY;
    }
    struct rt_memory *m = k->caller && k->caller->module->bc->n_memories ? k->caller->memories[0] : NULL;
    uint64_t at = m ? (uint64_t)((uintptr_t)word.pointer - (uintptr_t)m->base) : UINT64_MAX;
    if (!m || !rt_memory_at(m, at, 0)) return refuse(&c, p->name, "points outside of the program's memory");
    out->u32 = (uint32_t)at;
    return RT_TRAP_NONE;
}

static enum rt_trap run_callback(struct native_closure *k, void *result, void **args) {
    union rt_slot slots[NATIVE_PARAMS] = {{0}};
    struct rt_store *store = k->native->store;
    for (uint32_t i = 0; i < k->type->n_params; i++) {
        enum rt_trap trap = callback_argument(k, i, args[i], &slots[i]);
        if (trap) return trap;
    }
    if (rt_call(store, k->target, slots, NULL))
        return store->trap ? store->trap : rt_store_trap_text(store, "the callback could not be called");
    if (k->type->result.kind == NATIVE_VOID) return RT_TRAP_NONE;
    union word word = {0};
    struct call c = {.f = k->type, .n = k->native};
    if (!scalar_in(k->type->result.scalar, slots[0], &word)) return refuse(&c, "result", "is out of range");
    memcpy(result, &word, sizeof word);
    return RT_TRAP_NONE;
}

void native_callback(ffi_cif *cif, void *result, void **args, void *context) {
    struct native_closure *k = context;
    struct native *n = k->native;
    if (cif->rtype != &ffi_type_void) memset(result, 0, sizeof(ffi_arg));
    /* Kept behind its call, on another thread, or behind a trap: C gets zero and the program is not run. */
    if (!n->depth || !pthread_equal(n->thread, pthread_self())) return;
    if ((!k->active && !k->persistent) || n->pending) return;
    n->pending = run_callback(k, result, args);
}

static enum rt_trap take_callback(struct call *c, uint32_t i, struct rt_func *target) {
    const struct native_param *p = &c->f->params[i];
    if (!target) return p->nullable ? RT_TRAP_NONE : refuse(c, p->name, "the callback is null");
    if (!rt_type_matches(target->type, p->callback->type))
        return refuse(c, p->name, "the callback has another type than its prototype");
    struct native_closure *k = closure_for(c, p->callback, target);
    if (!k) return RT_TRAP_OUT_OF_MEMORY;
    c->closures[i] = k;
    c->words[i].pointer = k->code;
    return RT_TRAP_NONE;
}

/* ---- parameters ---- */

static enum rt_trap take_handle(struct call *c, uint32_t i, void *word) {
    const struct native_param *p = &c->f->params[i];
    if (!word) return p->nullable ? RT_TRAP_NONE : refuse(c, p->name, "the handle is null");
    struct native_handle *h = native_handle_check(&c->n->handles, word);
    if (!h) return refuse(c, p->name, "this is no handle of this library");
    if (h->type != p->handle) return refuse(c, p->name, "the handle is of another type");
    if (!h->pointer) return refuse(c, p->name, "the handle was destroyed");
    if (p->destroy && native_handle_in_use(&c->n->handles, h->pointer))
        return refuse(c, p->name, "the handle is in use by a call under way");
    for (uint32_t k = 0; k < i; k++)
        if (c->handles[k] && c->handles[k]->pointer == h->pointer && (p->destroy || c->f->params[k].destroy))
            return refuse(c, p->name, "the handle that the call destroys is given twice");
    c->handles[i] = h;
    c->words[i].pointer = h->pointer;
    return RT_TRAP_NONE;
}

/* A string of its own until the call is over: while C reads it, a callback (of this call, or one C kept) or,
 * in shared memory, another thread could take the original's end away. */
static struct call_string *new_copy(struct call *c, uint32_t i, size_t size) {
    struct call_string *s = atoll_new(c->n->alloc, 1, sizeof *s + size);
    if (!s) return NULL;
    s->size = size;
    s->next = c->strings;
    c->strings = s;
    c->words[i].pointer = s->bytes;
    return s;
}
static enum rt_trap copy_string(struct call *c, uint32_t i, const char *at, size_t size) {
    struct call_string *s = new_copy(c, i, size);
    if (!s) return RT_TRAP_OUT_OF_MEMORY;
    memcpy(s->bytes, at, size - 1); /* the end is there already */
    return RT_TRAP_NONE;
}

/* In a shared memory C would see bytes change that it has looked at; few libraries survive that. */
static enum rt_trap copy_buffer(struct call *c, uint32_t i, void *at, size_t size) {
    uint8_t direction = c->f->params[i].direction;
    struct call_string *s = new_copy(c, i, size);
    if (!s) return RT_TRAP_OUT_OF_MEMORY;
    if (direction & NATIVE_IN) memcpy(s->bytes, at, size);
    if (direction & NATIVE_OUT) s->back = at;
    return RT_TRAP_NONE;
}

static void free_strings(struct call *c) {
    for (struct call_string *s = c->strings, *next; s; s = next) {
        next = s->next;
        atoll_free(c->n->alloc, s, sizeof *s + s->size);
    }
}

static enum rt_trap take_string(struct call *c, uint32_t i) {
    const struct native_param *p = &c->f->params[i];
    char *at = guest_at(c, c->addresses[i], 1);
    if (!at) return refuse(c, p->name, "the string is outside of the memory");
    uint64_t left = atomic_load_explicit(&c->memory->size_bytes, memory_order_relaxed) - c->addresses[i];
    const char *end = memchr(at, 0, left);
    if (!end) return refuse(c, p->name, "the string does not end inside the memory");
    return copy_string(c, i, at, (size_t)(end - at) + 1);
}

/* A cell or a struct: copied, since its layout may differ. */
static enum rt_trap take_copy(struct call *c, uint32_t i) {
    const struct native_param *p = &c->f->params[i];
    bool cell = p->kind == NATIVE_CELL;
    uint8_t *at = guest_at(c, c->addresses[i], cell ? p->scalar->guest_size : p->st->guest_size);
    if (!at) return refuse(c, p->name, "outside of the memory");
    if (p->kind == NATIVE_STRUCT || p->direction & NATIVE_IN) {
        if (cell)
            load_scalar(p->scalar, at, c->copies[i]);
        else
            load_struct(p->st, at, c->copies[i]);
    }
    c->words[i].pointer = c->copies[i];
    if (p->kind == NATIVE_STRUCT) c->values[i] = c->copies[i];
    return RT_TRAP_NONE;
}

static enum rt_trap take_buffer(struct call *c, uint32_t i) {
    const struct native_param *p = &c->f->params[i];
    uint64_t size = p->element;
    for (uint32_t k = 0; k < p->n_factors; k++) {
        const struct native_factor *f = &p->factors[k];
        uint64_t factor = f->constant;
        if (f->param >= 0) {
            const struct native_scalar *s = c->f->params[f->param].scalar;
            union word word = c->words[f->param];
            if (f->deref && !word.pointer) return refuse(c, p->name, "its length is null");
            if (f->deref) memcpy(&word, c->copies[f->param], sizeof word);
            factor = (uint64_t)extend(word.u64, s->host_size, s->is_signed);
            if (s->is_signed && (int64_t)factor < 0) return refuse(c, p->name, "its length is negative");
        }
        if (__builtin_mul_overflow(size, factor, &size)) return refuse(c, p->name, "its length overflows");
    }
    void *at = guest_at(c, c->addresses[i], size);
    if (!at) return refuse(c, p->name, "the buffer leaves the memory");
    if (c->memory->type.shared) return copy_buffer(c, i, at, size);
    c->words[i].pointer = at;
    return RT_TRAP_NONE;
}

static enum rt_trap take_param(struct call *c, uint32_t i, union rt_slot slot) {
    const struct native_param *p = &c->f->params[i];
    c->values[i] = &c->words[i];
    c->addresses[i] = slot.u32;
    switch (p->kind) {
    case NATIVE_SCALAR:
        return scalar_in(p->scalar, slot, &c->words[i]) ? RT_TRAP_NONE
                                                        : refuse(c, p->name, "is out of range");
    case NATIVE_HANDLE: return take_handle(c, i, slot.ref);
    case NATIVE_CALLBACK: return take_callback(c, i, slot.ref);
    case NATIVE_DATA: c->words[i].u64 = slot.u32; return RT_TRAP_NONE;
    case NATIVE_HANDLE_OUT: c->words[i].pointer = c->copies[i]; return RT_TRAP_NONE;
    default: break;
    }
    if (p->nullable && !slot.u32) return RT_TRAP_NONE;
    if (p->kind == NATIVE_BUFFER) return RT_TRAP_NONE; /* behind all that may be its length */
    return p->kind == NATIVE_STRING ? take_string(c, i) : take_copy(c, i);
}

static enum rt_trap take_params(struct call *c, const union rt_slot *slots) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->f->n_params; i++) {
        union rt_slot none = {0};
        bool given = c->f->params[i].kind != NATIVE_HANDLE_OUT;
        enum rt_trap trap = take_param(c, i, given ? slots[at] : none);
        if (trap) return trap;
        at += given;
    }
    for (uint32_t i = 0; i < c->f->n_params; i++) {
        const struct native_param *p = &c->f->params[i];
        if (p->kind != NATIVE_BUFFER || (p->nullable && !c->addresses[i])) continue;
        enum rt_trap trap = take_buffer(c, i);
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

/* ---- results ---- */

static enum rt_trap give_back(struct call *c) {
    for (const struct call_string *s = c->strings; s; s = s->next)
        if (s->back) memcpy(s->back, s->bytes, s->size);
    for (uint32_t i = 0; i < c->f->n_params; i++) {
        const struct native_param *p = &c->f->params[i];
        if (!(p->direction & NATIVE_OUT) || c->words[i].pointer != c->copies[i]) continue;
        if (p->kind != NATIVE_CELL && p->kind != NATIVE_STRUCT_PTR) continue;
        uint8_t *at = c->memory->base + c->addresses[i]; /* checked before; memories never shrink */
        if (!(p->kind == NATIVE_CELL ? store_scalar(p->scalar, c->copies[i], at)
                                     : store_struct(p->st, c->copies[i], at)))
            return refuse(c, p->name, "the library's value does not fit wasm32");
    }
    return RT_TRAP_NONE;
}

static enum rt_trap give_handle(struct call *c, const struct native_handle_type *type, void *pointer,
                                union rt_slot *out) {
    out->u64 = 0;
    if (!pointer) return RT_TRAP_NONE;
    out->ref = native_handle_for(c->n, type, pointer);
    return out->ref ? RT_TRAP_NONE : RT_TRAP_OUT_OF_MEMORY;
}

/* The whole string with its end, or nothing but an empty one when it does not fit; its length either way. */
static enum rt_trap give_string(struct call *c, const char *s, uint32_t at, uint32_t capacity,
                                union rt_slot *out) {
    out->u64 = UINT32_MAX;
    char *to = guest_at(c, at, capacity);
    if (!to) return refuse(c, "result", "the buffer leaves the memory");
    size_t n = s ? strlen(s) : 0;
    if (capacity) memmove(to, n < capacity && s ? s : "", (n < capacity ? n : 0) + 1);
    if (s) out->u64 = (uint32_t)n;
    return RT_TRAP_NONE;
}

static enum rt_trap give_result(struct call *c, const union rt_slot extra[2], union rt_slot *out) {
    const struct native_param *r = &c->f->result;
    union word word;
    memcpy(&word, c->result, sizeof word);
    switch (r->kind) {
    case NATIVE_SCALAR:
        return scalar_out(r->scalar, word, out) ? RT_TRAP_NONE : refuse(c, "result", "does not fit wasm32");
    case NATIVE_HANDLE: return give_handle(c, r->handle, word.pointer, out);
    case NATIVE_STRING: return give_string(c, word.pointer, extra[0].u32, extra[1].u32, out);
    default: return RT_TRAP_NONE;
    }
}

static enum rt_trap give_results(struct call *c, const union rt_slot extra[2], int saved_errno,
                                 union rt_slot *out) {
    const struct native_param *r = &c->f->result;
    for (uint32_t i = 0; i < c->f->n_params; i++)
        if (c->f->params[i].destroy && c->handles[i])
            native_handle_kill(&c->n->handles, c->handles[i]->pointer);
    enum rt_trap trap = c->n->pending;
    c->n->pending = RT_TRAP_NONE;
    if (!trap) trap = give_back(c);
    if (!trap && r->kind == NATIVE_STRUCT &&
        !store_struct(r->st, c->result, guest_at(c, extra[0].u32, r->st->guest_size)))
        trap = refuse(c, "result", "does not fit wasm32");
    if (!trap) trap = give_result(c, extra, out);
    out += r->kind != NATIVE_VOID && r->kind != NATIVE_STRUCT;
    for (uint32_t i = 0; !trap && i < c->f->n_params; i++) {
        if (c->f->params[i].kind != NATIVE_HANDLE_OUT) continue;
        void *pointer;
        memcpy(&pointer, c->copies[i], sizeof pointer);
        trap = give_handle(c, c->f->params[i].handle, pointer, out++);
    }
    if (!trap && c->f->gives_errno) out->u64 = (uint32_t)saved_errno;
    return trap;
}

static int call_library(struct call *c) {
    struct native *n = c->n;
    if (!n->depth++) n->thread = pthread_self();
    for (uint32_t i = 0; i < c->f->n_params; i++)
        if (c->closures[i]) {
            c->closures[i]->active++;
            c->closures[i]->persistent |= c->f->params[i].persistent;
        }
    for (uint32_t i = 0; i < c->f->n_params; i++)
        if (c->handles[i]) c->handles[i]->in_use++;
    errno = 0;
    ffi_call(&c->f->cif, c->f->symbol, c->result, c->values);
    int saved = errno;
    for (uint32_t i = 0; i < c->f->n_params; i++)
        if (c->handles[i]) c->handles[i]->in_use--;
    for (uint32_t i = 0; i < c->f->n_params; i++)
        if (c->closures[i]) c->closures[i]->active--;
    n->depth--;
    return saved;
}

enum rt_trap native_call(struct rt_store *store, struct rt_instance *caller, void *context,
                         union rt_slot *args_results) {
    struct native_func *f = context;
    struct call c = {.f = f, .n = f->native, .caller = caller};
    if (caller && caller->module->bc->n_memories) c.memory = caller->memories[0];
    struct sb_request request = {.kind = SB_NATIVE_CALL,
                                 .name = f->name,
                                 .name_size = strlen(f->name),
                                 .numbers = {SB_ABSENT, SB_ABSENT}};
    if (sb_ask(c.n->sandbox, &request)) return refuse(&c, "call", "the sandbox refused it");
    bool sret = f->result.kind == NATIVE_STRUCT;
    enum rt_trap trap = take_params(&c, args_results + sret);
    union rt_slot extra[2] = {args_results[0]};
    if (f->result.kind == NATIVE_STRING) memcpy(extra, args_results + f->type->n_params - 2, sizeof extra);
    if (!trap && sret && !guest_at(&c, extra[0].u32, f->result.st->guest_size))
        trap = refuse(&c, "result", "its place is outside of the memory");
    if (!trap) {
        int saved = call_library(&c);
        trap = give_results(&c, extra, saved, args_results);
        free_strings(&c);
    } else {
        free_strings(&c);
        sb_answer(c.n->sandbox, &request, EFAULT, 0);
        return trap;
    }
    sb_answer(c.n->sandbox, &request, 0, 0);
    if (trap) return trap;
    switch (atomic_load_explicit(&store->interrupt, memory_order_relaxed)) {
    case RT_INTERRUPT_NONE: return RT_TRAP_NONE;
    case RT_INTERRUPT_TIMEOUT: return RT_TRAP_TIMEOUT;
    default: return RT_TRAP_INTERRUPTED;
    }
}
