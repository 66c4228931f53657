/* interp/inspect.c: frames of a run that stands still, with their locals and operands.
 *
 * Locals are in their slots whenever something can stop the program. Where the operands are is known only to
 * lowering, so that the function is lowered again up to the instruction at hand. */
#include "interp/internal.h"

struct place { /* of a frame: ip is behind the call when it waits for one */
    const uint64_t *ip;
    const union rt_slot *fp;
    bool returning;
};

static void next_in_run(struct place *p) {
    p->ip = p->fp[-3].ref;
    p->fp = p->fp[-2].ref;
    p->returning = true;
}

void interp_each_frame(struct rt_store *store, interp_visitor *visit, void *context) {
    uint32_t index = 0;
    for (struct rt_activation *a = store->activation; a; a = a->previous) {
        if (a->store != store || !interp_owns(a)) continue;
        const struct interp_run *run = (const struct interp_run *)a;
        struct place p = {run->ip, run->fp, false};
        for (; p.fp; next_in_run(&p)) {
            const struct rt_func *func = p.fp[-1].ref;
            struct interp_frame frame = {
                .at = {func->instance, func->index, interp_offset(func, p.ip, p.returning)},
                .index = index,
                .ip = p.ip,
                .fp = p.fp,
                .calls = index || p.returning};
            index++;
            if (!visit(context, &frame)) return;
        }
    }
}

/* ---- values ---- */

static bool add_value(const struct atoll_alloc *alloc, struct interp_values *out, struct interp_value v) {
    void *p = out->items;
    if (atoll_grow(alloc, &p, &out->capacity, out->n_locals + out->n_operands + 1u, sizeof v)) return false;
    out->items = p;
    out->items[out->n_locals + out->n_operands] = v;
    return true;
}

/* A frame that never came into being may reach beyond the stack. */
static struct interp_value value_in(const struct rt_store *store, const union rt_slot *fp, int64_t slot,
                                    uint8_t kind) {
    const union rt_slot *at = fp + slot;
    struct interp_value v = {.kind = kind};
    if (at < store->stack || at + 2 > store->stack_end) return v;
    v.known = true;
    v.bits[0] = at[0].u64;
    if (kind == BC_KIND_I32 || kind == BC_KIND_F32) v.bits[0] = at[0].u32;
    if (kind == BC_KIND_V128) v.bits[1] = at[1].u64;
    return v;
}

/* Parameters lie below the header. Other locals are zeroed by the function's first instruction. */
static bool add_locals(const struct interp_frame *frame, bool entered, struct interp_values *out) {
    const struct rt_instance *instance = frame->at.instance;
    const struct bc_module *bc = instance->module->bc;
    const struct bc_type *type = &bc->types[bc->funcs[frame->at.func].type];
    uint32_t n = type->n_params + bc->funcs[frame->at.func].n_locals;
    int64_t slot = -INTERP_HEADER_SLOTS - (int64_t)interp_window(type->param_slots, type->result_slots);
    for (uint32_t i = 0; i < n; i++) {
        if (i == type->n_params) slot = 0;
        bc_valtype t = i < type->n_params ? type->params[i] : bc_local_type(bc, frame->at.func, i);
        struct interp_value v = {.kind = (uint8_t)bc_valtype_kind(t)};
        if (entered || i < type->n_params) v = value_in(instance->store, frame->fp, slot, v.kind);
        if (!add_value(instance->module->engine->alloc, out, v)) return false;
        out->n_locals++;
        slot += bc_valtype_slots(t);
    }
    return true;
}

/* Operands that the call instruction at the frame's offset takes away. */
static uint32_t taken_by_call(const struct bc_module *bc, const struct interp_frame *frame) {
    struct bc_instr in;
    const struct bc_func *func = &bc->funcs[frame->at.func];
    if (bc_decode_instr(bc, frame->at.offset, func->body.offset + func->body.size, &in, NULL)) return 0;
    switch (in.op) {
    case BC_CALL:
    case BC_RETURN_CALL: return bc->types[bc->funcs[in.index].type].n_params;
    case BC_CALL_INDIRECT:
    case BC_RETURN_CALL_INDIRECT:
    case BC_CALL_REF:
    case BC_RETURN_CALL_REF: return bc->types[in.index].n_params + 1;
    default: return 0;
    }
}

static bool add_operands(const struct interp_frame *frame, bool before, struct interp_values *out) {
    const struct rt_instance *instance = frame->at.instance;
    const struct rt_module *module = instance->module;
    struct interp_operand *operands = NULL;
    size_t n = 0, capacity = 0;
    bool ok = !interp_operands_at(module, frame->at.func, interp_guarded(instance), frame->at.offset,
                                  &operands, &n, &capacity);
    uint32_t taken = before ? 0 : taken_by_call(module->bc, frame);
    n = n > taken ? n - taken : 0;
    for (size_t i = 0; ok && i < n; i++) {
        const struct interp_operand *o = operands + i;
        struct interp_value v = {.kind = o->kind, .known = o->known, .bits = {o->bits}};
        if (o->in_frame) v = value_in(instance->store, frame->fp, o->slot, o->kind);
        ok = add_value(module->engine->alloc, out, v);
        out->n_operands += ok;
    }
    atoll_free(module->engine->alloc, operands, capacity * sizeof *operands);
    return ok;
}

enum atoll_status interp_frame_values(const struct interp_frame *frame, bool operands,
                                      struct interp_values *out) {
    const struct rt_func *func = frame->fp[-1].ref;
    const struct interp_code *code = interp_code_running(func);
    const uint64_t *ip = frame->ip;
    bool entered = code && ip != code->words; /* behind its ENTER */
    out->n_locals = out->n_operands = 0;
    if (!add_locals(frame, entered, out)) return ATOLL_E_NOMEM;
    if (!entered || !operands) return ATOLL_OK;
    bool before = !frame->calls && *ip == (uint64_t)(uintptr_t)interp_do_PROBE;
    return add_operands(frame, before, out) ? ATOLL_OK : ATOLL_E_NOMEM;
}

void interp_values_fini(struct interp_values *values, const struct atoll_alloc *alloc) {
    atoll_free(alloc, values->items, values->capacity * sizeof *values->items);
    *values = (struct interp_values){0};
}

/* ---- who looks ---- */

void interp_raised(struct rt_store *store, enum rt_trap trap, const uint64_t *ip, union rt_slot *fp) {
    struct rt_observer *observer = store->observer;
    interp_capture(store, ip, fp);
    if (!observer || !observer->trapped) return;
    store->trap = trap;
    observer->trapped(observer, store);
}

enum rt_trap interp_ask_observer(struct rt_store *store, struct rt_instance *instance, uint32_t offset) {
    return store->observer->probe(store->observer, store, instance, offset);
}
