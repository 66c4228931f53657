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

enum rt_trap native_refuse(const struct native_func *f, const char *param, const char *why) {
    return rt_store_trap_text(f->native->store, "%s.%s: %s: %s", f->native->module, f->name, param, why);
}

static enum rt_trap refuse(const struct native_call *c, uint32_t i, const char *why) {
    return native_refuse(c->f, c->f->params[i].name, why);
}

static void *guest_at(const struct native_call *c, uint64_t at, uint64_t size) {
    return c->memory ? rt_memory_at(c->memory, at, size) : NULL;
}

static uint64_t address_of(const struct native_call *c, union rt_slot slot) {
    return c->wide ? slot.u64 : slot.u32;
}

static void *copy_of(struct native_call *c, uint32_t i) { return c->scratch + c->f->params[i].scratch_at; }

/* ---- parameters ---- */

/* A handle that the call ends is not in use by a call under way, and given once. */
static enum rt_trap check_destroyed(const struct native_call *c, uint32_t i, const struct native_handle *h) {
    const struct native_param *params = c->f->params;
    if (params[i].destroy && native_handle_in_use(&c->n->handles, h->pointer))
        return refuse(c, i, "the handle, or one that it owns, is in use by a call under way");
    for (uint32_t k = 0; k < i; k++)
        if (c->handles[k] && c->handles[k]->pointer == h->pointer && (params[i].destroy || params[k].destroy))
            return refuse(c, i, "the handle that the call destroys is given twice");
    return RT_TRAP_NONE;
}

static enum rt_trap take_handle(struct native_call *c, uint32_t i, void *word) {
    const struct native_param *p = &c->f->params[i];
    bool dead;
    c->words[i].pointer = NULL;
    if (!word) return p->nullable ? RT_TRAP_NONE : refuse(c, i, "the handle is null");
    struct native_handle *h = native_handle_check(&c->n->handles, word, &dead);
    if (dead) return refuse(c, i, "the handle was destroyed");
    if (!h) return refuse(c, i, "this is no handle of this library");
    if (h->type != p->handle) return refuse(c, i, "the handle is of another type");
    enum rt_trap trap = check_destroyed(c, i, h);
    if (trap) return trap;
    c->handles[i] = h;
    c->words[i].pointer = h->pointer;
    return RT_TRAP_NONE;
}

static enum rt_trap take_callback(struct native_call *c, uint32_t i, struct rt_func *target) {
    const struct native_param *p = &c->f->params[i];
    c->words[i].pointer = NULL;
    if (!target) return p->nullable ? RT_TRAP_NONE : refuse(c, i, "the callback is null");
    if (!rt_type_matches(target->type, p->callback->bindings[c->wide].type))
        return refuse(c, i, "the callback has another type than its prototype");
    struct native_closure *k = native_closure_for(c, p->callback, target);
    if (!k) return RT_TRAP_OUT_OF_MEMORY;
    c->closures[i] = k;
    c->words[i].pointer = k->code;
    return RT_TRAP_NONE;
}

/* Bytes of the memory, C's own until the call is over. `room`: a byte more, zero. */
static enum rt_trap copy_bytes(struct native_call *c, uint32_t i, uint64_t size, uint64_t room, bool read,
                               bool back) {
    struct native_copy *copy = atoll_new(c->n->alloc, 1, sizeof *copy + size + room);
    if (!copy) return RT_TRAP_OUT_OF_MEMORY;
    *copy = (struct native_copy){
        .next = c->copies, .size = size + room, .back = back ? c->addresses[i] : UINT64_MAX};
    c->copies = copy;
    c->words[i].pointer = copy->bytes;
    if (read) rt_memory_read(c->memory, c->addresses[i], copy->bytes, size);
    return RT_TRAP_NONE;
}

static void free_copies(struct native_call *c) {
    for (struct native_copy *copy = c->copies, *next; copy; copy = next) {
        next = copy->next;
        atoll_free(c->n->alloc, copy, sizeof *copy + copy->size);
    }
}

/* Copied: while C reads it, a callback (of this call, or one C kept) or, in shared memory, another thread
 * could take the original's end away. */
static enum rt_trap take_string(struct native_call *c, uint32_t i) {
    uint64_t address = c->addresses[i];
    const char *at = guest_at(c, address, 1);
    if (!at) return refuse(c, i, "the string is outside of the memory");
    uint64_t left = atomic_load_explicit(&c->memory->size_bytes, memory_order_relaxed) - address;
    const char *end = memchr(at, 0, left);
    if (!end) return refuse(c, i, "the string does not end inside the memory");
    return copy_bytes(c, i, (uint64_t)(end - at), 1, true, false);
}

/* A cell or a struct: copied, since its layout may differ. */
static enum rt_trap take_copy(struct native_call *c, uint32_t i) {
    const struct native_param *p = &c->f->params[i];
    bool cell = p->kind == NATIVE_CELL;
    uint8_t guest[NATIVE_STRUCT_BYTES], *copy = copy_of(c, i);
    uint32_t size = cell ? p->scalar->guest_size[c->wide] : p->st->guest_size[c->wide];
    if (!guest_at(c, c->addresses[i], size)) return refuse(c, i, "outside of the memory");
    if (p->kind == NATIVE_STRUCT || p->direction & NATIVE_IN) {
        rt_memory_read(c->memory, c->addresses[i], guest, size);
        if (cell)
            native_scalar_load(p->scalar, c->wide, guest, copy);
        else
            native_struct_load(p->st, c->wide, guest, copy);
    }
    c->words[i].pointer = copy;
    if (p->kind == NATIVE_STRUCT) c->values[i] = copy;
    return RT_TRAP_NONE;
}

/* A struct of one scalar comes as that. */
static enum rt_trap take_single(struct native_call *c, uint32_t i, union rt_slot slot) {
    const struct native_scalar *s = native_struct_single(c->f->params[i].st);
    union native_word word;
    c->values[i] = copy_of(c, i);
    if (!native_scalar_in(s, c->wide, slot, &word)) return refuse(c, i, "is out of range");
    memcpy(c->values[i], &word, s->host_size);
    return RT_TRAP_NONE;
}

static enum rt_trap take_buffer(struct native_call *c, uint32_t i) {
    const struct native_param *p = &c->f->params[i];
    uint64_t size = p->element;
    for (uint32_t k = 0; k < p->n_factors; k++) {
        const struct native_factor *f = &p->factors[k];
        uint64_t factor = f->constant;
        if (f->param >= 0) {
            const struct native_scalar *s = c->f->params[f->param].scalar;
            union native_word word = c->words[f->param];
            if (f->deref && !word.pointer) return refuse(c, i, "its length is null");
            if (f->deref) memcpy(&word, copy_of(c, (uint32_t)f->param), sizeof word);
            factor = (uint64_t)native_extend(word.u64, s->host_size, s->is_signed);
            if (s->is_signed && (int64_t)factor < 0) return refuse(c, i, "its length is negative");
        }
        if (__builtin_mul_overflow(size, factor, &size)) return refuse(c, i, "its length overflows");
    }
    c->words[i].pointer = guest_at(c, c->addresses[i], size);
    if (!c->words[i].pointer) return refuse(c, i, "the buffer leaves the memory");
    if (!c->memory->type.shared) return RT_TRAP_NONE;
    /* C would see bytes change that it has looked at; few libraries survive that */
    return copy_bytes(c, i, size, 0, p->direction & NATIVE_IN, p->direction & NATIVE_OUT);
}

static enum rt_trap take_param(struct native_call *c, uint32_t i, union rt_slot slot) {
    const struct native_param *p = &c->f->params[i];
    c->values[i] = &c->words[i];
    c->words[i].pointer = NULL;
    c->addresses[i] = address_of(c, slot);
    switch (p->kind) {
    case NATIVE_SCALAR:
        return native_scalar_in(p->scalar, c->wide, slot, &c->words[i]) ? RT_TRAP_NONE
                                                                        : refuse(c, i, "is out of range");
    case NATIVE_HANDLE: return take_handle(c, i, slot.ref);
    case NATIVE_CALLBACK: return take_callback(c, i, slot.ref);
    case NATIVE_DATA: c->words[i].u64 = c->addresses[i]; return RT_TRAP_NONE;
    case NATIVE_HANDLE_OUT: c->words[i].pointer = copy_of(c, i); return RT_TRAP_NONE;
    case NATIVE_NULL: return RT_TRAP_NONE;
    case NATIVE_STRUCT:
        if (native_struct_single(p->st)) return take_single(c, i, slot);
        break;
    default: break;
    }
    if (p->nullable && !c->addresses[i]) return RT_TRAP_NONE;
    if (p->kind == NATIVE_BUFFER) return RT_TRAP_NONE; /* behind all that may be its length */
    return p->kind == NATIVE_STRING ? take_string(c, i) : take_copy(c, i);
}

static bool is_given(const struct native_param *p) {
    return p->kind != NATIVE_HANDLE_OUT && p->kind != NATIVE_NULL;
}

static enum rt_trap take_params(struct native_call *c, const union rt_slot *slots) {
    for (uint32_t i = 0; i < c->f->n_params; i++) c->handles[i] = NULL, c->closures[i] = NULL;
    memset(c->scratch, 0, c->f->scratch_bytes);
    for (uint32_t i = 0, at = 0; i < c->f->n_params; i++) {
        union rt_slot none = {0};
        bool given = is_given(&c->f->params[i]);
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

/* The place was checked before; memories never shrink. Padding is zero. */
static enum rt_trap give_copy(struct native_call *c, uint32_t i) {
    const struct native_param *p = &c->f->params[i];
    bool cell = p->kind == NATIVE_CELL;
    uint32_t size = cell ? p->scalar->guest_size[c->wide] : p->st->guest_size[c->wide];
    uint8_t guest[NATIVE_STRUCT_BYTES];
    memset(guest, 0, size);
    if (!(cell ? native_scalar_store(p->scalar, c->wide, copy_of(c, i), guest)
               : native_struct_store(p->st, c->wide, copy_of(c, i), guest)))
        return refuse(c, i, "the library's value does not fit wasm32");
    rt_memory_write(c->memory, c->addresses[i], guest, size);
    return RT_TRAP_NONE;
}

static enum rt_trap give_back(struct native_call *c) {
    enum rt_trap trap = RT_TRAP_NONE;
    for (const struct native_copy *copy = c->copies; copy; copy = copy->next)
        if (copy->back != UINT64_MAX) rt_memory_write(c->memory, copy->back, copy->bytes, copy->size);
    for (uint32_t i = 0; i < c->f->n_params && !trap; i++) {
        const struct native_param *p = &c->f->params[i];
        bool copied = p->kind == NATIVE_CELL || p->kind == NATIVE_STRUCT_PTR;
        if (copied && p->direction & NATIVE_OUT && c->words[i].pointer) trap = give_copy(c, i);
    }
    return trap;
}

static enum rt_trap give_handle(struct native_call *c, const struct native_param *p, void *pointer,
                                union rt_slot *out) {
    out->u64 = 0;
    if (!pointer) return RT_TRAP_NONE;
    struct native_handle *owner = p->owner < 0 ? NULL : c->handles[p->owner];
    if (owner && owner->pointer != c->words[p->owner].pointer) owner = NULL; /* this call ended it */
    struct native_handle *h = native_handle_for(c->n, p->handle, pointer, owner);
    if (!h) return RT_TRAP_OUT_OF_MEMORY;
    out->ref = native_handle_word(h);
    return RT_TRAP_NONE;
}

/* The whole string with its end, or nothing but an empty one when it does not fit; its length either way. */
static enum rt_trap give_string(struct native_call *c, const char *s, uint64_t at, uint64_t capacity,
                                union rt_slot *out) {
    out->u64 = c->wide ? UINT64_MAX : UINT32_MAX;
    char *to = guest_at(c, at, capacity);
    if (!to) return native_refuse(c->f, "result", "the buffer leaves the memory");
    size_t n = s ? strlen(s) : 0;
    if (capacity) memmove(to, n < capacity && s ? s : "", (n < capacity ? n : 0) + 1);
    if (s) out->u64 = c->wide ? n : (uint32_t)n;
    return RT_TRAP_NONE;
}

static enum rt_trap give_scalar(const struct native_call *c, const struct native_scalar *s,
                                union rt_slot *out) {
    union native_word word;
    memcpy(&word, c->scratch, sizeof word);
    return native_scalar_out(s, c->wide, word, out) ? RT_TRAP_NONE
                                                    : native_refuse(c->f, "result", "does not fit wasm32");
}

static enum rt_trap give_struct(struct native_call *c, uint64_t address) {
    const struct native_struct *st = c->f->result.st;
    uint8_t guest[NATIVE_STRUCT_BYTES];
    memset(guest, 0, st->guest_size[c->wide]);
    bool fits = native_struct_store(st, c->wide, c->scratch, guest);
    rt_memory_write(c->memory, address, guest, st->guest_size[c->wide]);
    return fits ? RT_TRAP_NONE : native_refuse(c->f, "result", "does not fit wasm32");
}

/* What stands for the result among the program's parameters: the address of a struct, or where a string goes
 * and its room. */
static bool has_place(const struct native_func *f) {
    return f->result.kind == NATIVE_STRUCT && !native_struct_single(f->result.st);
}

static enum rt_trap give_result(struct native_call *c, const union rt_slot extra[2], union rt_slot *out) {
    const struct native_param *r = &c->f->result;
    void *pointer;
    memcpy(&pointer, c->scratch, sizeof pointer);
    switch (r->kind) {
    case NATIVE_SCALAR: return give_scalar(c, r->scalar, out);
    case NATIVE_STRUCT:
        return has_place(c->f) ? give_struct(c, address_of(c, extra[0]))
                               : give_scalar(c, native_struct_single(r->st), out);
    case NATIVE_HANDLE: return give_handle(c, r, pointer, out);
    case NATIVE_STRING: return give_string(c, pointer, address_of(c, extra[0]), address_of(c, extra[1]), out);
    default: return RT_TRAP_NONE;
    }
}

/* Whether the library did end the handle. */
static bool has_destroyed(const struct native_call *c, const struct native_param *p) {
    const struct native_scalar *s = c->f->result.scalar;
    uint64_t bits;
    if (!p->conditional) return true;
    memcpy(&bits, c->scratch, sizeof bits);
    return native_extend(bits, s->host_size, s->is_signed) == p->destroy_when;
}

static enum rt_trap give_results(struct native_call *c, const union rt_slot extra[2], int saved_errno,
                                 union rt_slot *out) {
    for (uint32_t i = 0; i < c->f->n_params; i++)
        if (c->f->params[i].destroy && c->handles[i] && has_destroyed(c, &c->f->params[i]))
            native_handle_kill(&c->n->handles, c->words[i].pointer);
    enum rt_trap trap = c->n->pending;
    c->n->pending = RT_TRAP_NONE;
    if (!trap) trap = give_back(c);
    if (!trap) trap = give_result(c, extra, out);
    out += c->f->result.kind != NATIVE_VOID && !has_place(c->f);
    for (uint32_t i = 0; !trap && i < c->f->n_params; i++) {
        if (c->f->params[i].kind != NATIVE_HANDLE_OUT) continue;
        void *pointer;
        memcpy(&pointer, copy_of(c, i), sizeof pointer);
        trap = give_handle(c, &c->f->params[i], pointer, out++);
    }
    if (!trap && c->f->gives_errno) out->u64 = (uint32_t)saved_errno;
    return trap;
}

/* ---- the call ---- */

/* Handles and closures are in use between these two. */
static void mark(struct native_call *c, uint32_t change) {
    for (uint32_t i = 0; i < c->f->n_params; i++) {
        if (c->handles[i]) c->handles[i]->in_use += change;
        if (!c->closures[i]) continue;
        c->closures[i]->active += change;
        c->closures[i]->persistent |= c->f->params[i].persistent;
    }
}

static int call_library(struct native_call *c) {
    ffi_cif cif = c->f->cif;
    mark(c, 1);
    native_calls_push(c);
    errno = 0;
    ffi_call(&cif, c->f->symbol, c->scratch, c->values);
    int saved = errno;
    native_calls_pop(c);
    mark(c, (uint32_t)-1);
    return saved;
}

static enum rt_trap run(struct native_call *c, union rt_slot *args_results) {
    const struct native_func *f = c->f;
    bool place = has_place(f);
    union rt_slot extra[2] = {args_results[0]};
    if (f->result.kind == NATIVE_STRING)
        memcpy(extra, args_results + f->bindings[c->wide].type->n_params - 2, sizeof extra);
    if (place && !guest_at(c, address_of(c, extra[0]), f->result.st->guest_size[c->wide]))
        return native_refuse(f, "result", "its place is outside of the memory");
    enum rt_trap trap = take_params(c, args_results + place);
    if (trap) return trap;
    int saved = call_library(c);
    return give_results(c, extra, saved, args_results);
}

enum rt_trap native_call(struct rt_store *store, struct rt_instance *caller, void *context,
                         union rt_slot *args_results) {
    const struct native_binding *binding = context;
    struct native_call c;
    c.f = binding->of;
    c.n = c.f->native;
    c.caller = caller;
    c.memory = caller && caller->module->bc->n_memories ? caller->memories[0] : NULL;
    c.wide = binding->wide;
    c.copies = NULL;
    struct sb_request request = {.kind = SB_NATIVE_CALL,
                                 .name = c.f->name,
                                 .name_size = strlen(c.f->name),
                                 .numbers = {SB_ABSENT, SB_ABSENT}};
    if (sb_ask(c.n->sandbox, &request)) return native_refuse(c.f, "call", "the sandbox refused it");
    enum rt_trap trap = run(&c, args_results);
    free_copies(&c);
    sb_answer(c.n->sandbox, &request, trap ? EFAULT : 0, 0);
    if (trap) return trap;
    switch (atomic_load_explicit(&store->interrupt, memory_order_relaxed)) {
    case RT_INTERRUPT_NONE: return RT_TRAP_NONE;
    case RT_INTERRUPT_TIMEOUT: return RT_TRAP_TIMEOUT;
    default: return RT_TRAP_INTERRUPTED;
    }
}
