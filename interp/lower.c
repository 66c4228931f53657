/* interp/lower.c: a function's bytes become code, in one pass (lower.h). */
#include "interp/lower.h"

/* Parameters lie below the header, other locals from slot 0. */
static bool place_locals(struct lower *l) {
    const struct bc_func *func = &l->bc->funcs[l->func];
    const struct bc_type *type = &l->bc->types[func->type];
    l->n_locals = type->n_params + func->n_locals;
    l->locals = atoll_new(l->alloc, l->n_locals + 1u, sizeof *l->locals);
    if (!l->locals) return false;
    int32_t slot = -INTERP_HEADER_SLOTS - (int32_t)l->window;
    struct local *local = l->locals;
    for (uint32_t i = 0; i < type->n_params; i++) {
        *local++ = (struct local){slot, NOTHING, (uint8_t)bc_valtype_kind(type->params[i])};
        slot += (int32_t)bc_valtype_slots(type->params[i]);
    }
    slot = 0;
    for (uint32_t run = 0; run < func->n_local_runs; run++)
        for (uint32_t i = 0; i < func->local_runs[run].count; i++) {
            bc_valtype t = func->local_runs[run].type;
            *local++ = (struct local){slot, NOTHING, (uint8_t)bc_valtype_kind(t)};
            slot += (int32_t)bc_valtype_slots(t);
        }
    l->next_slot = l->max_slot = slot;
    return true;
}

static void count_instr(struct lower *l) {
    if (!l->count_fuel) return;
    lower_operand(l, l->fuel_at, 0, (int32_t)++l->fuel);
    if (l->fuels && !l->failed) l->fuels->items[l->fuels->n - 1].count = l->fuel;
}

static void probe(struct lower *l) {
    lower_settle(l);
    uint32_t at = lower_emit_trapping(l, H_PROBE, 2);
    lower_operand(l, at, 0, (int32_t)l->instr_offset);
    l->last = NOTHING; /* nothing is fused with it */
}

static bool stopped(const struct lower *l) {
    return l->stop && atomic_load_explicit(l->stop, memory_order_relaxed);
}

static void lower_body(struct lower *l) {
    const struct bc_func *func = &l->bc->funcs[l->func];
    uint32_t at = func->code_offset, end = func->body.offset + func->body.size;
    while (at < end && !l->failed) {
        struct bc_instr in;
        if (bc_decode_instr(l->bc, at, end, &in, NULL)) l->failed = true; /* validated: never */
        if (l->failed) return;
        l->instr_offset = at;
        if (l->probes && !l->dead) probe(l);
        if (at == l->stop_at) return;
        at = in.next;
        l->failed |= stopped(l);
        if (l->dead) {
            lower_dead(l, &in);
        } else {
            count_instr(l);
            lower_instr(l, &in);
        }
    }
}

static void lower_function(struct lower *l) {
    int32_t n_local_slots = l->next_slot;
    l->instr_offset = l->bc->funcs[l->func].code_offset;
    lower_forget(l);
    lower_enter_function(l);
    uint32_t enter = lower_emit_trapping(l, n_local_slots ? H_ENTER : H_ENTER_0, 2);
    l->last = NOTHING;
    lower_fuel_segment(l);
    lower_body(l);
    lower_operand(l, enter, 0, l->max_slot + 2);
    lower_operand(l, enter, 1, (n_local_slots + 1) / 2);
}

static void fini(struct lower *l) {
    atoll_free(l->alloc, l->locals, (l->n_locals + 1u) * sizeof *l->locals);
    atoll_free(l->alloc, l->stack, l->cap_stack * sizeof *l->stack);
    atoll_free(l->alloc, l->frames, l->cap_frames * sizeof *l->frames);
    atoll_free(l->alloc, l->fixups, l->cap_fixups * sizeof *l->fixups);
}

static bool init(struct lower *l, const struct rt_module *module, uint32_t func, bool guarded,
                 struct interp_code *out) {
    const struct bc_module *bc = module->bc;
    const struct rt_config *config = &module->engine->config;
    bool plain = guarded && bc->n_memories && !bc->memories[0].limits.is64 &&
                 bc->memories[0].limits.page_size_log2 == 16;
    *out = (struct interp_code){0};
    *l = (struct lower){.module = module,
                        .bc = bc,
                        .alloc = module->engine->alloc,
                        .type = module->types[bc->funcs[func].type],
                        .func = func,
                        .guarded = plain,
                        .count_fuel = config->fuel,
                        .relaxed_native = !config->relaxed_deterministic,
                        .probes = config->probes,
                        .code = out};
    l->window = interp_window(l->type->param_slots, l->type->result_slots);
    l->failed = !place_locals(l);
    return !l->failed;
}

enum atoll_status interp_lower(const struct rt_module *module, uint32_t func, bool guarded,
                               const bc_stop *stop, struct interp_code *out) {
    struct lower l;
    bool ready = init(&l, module, func, guarded, out);
    l.stop = stop;
    if (ready) lower_function(&l);
    fini(&l);
    if (!l.failed) return ATOLL_OK;
    interp_code_fini(l.alloc, out);
    return stopped(&l) ? ATOLL_E_INTERRUPTED : ATOLL_E_NOMEM;
}

/* ---- one instruction ---- */

static void lower_one(struct lower *l, uint32_t at, uint32_t n_args, const uint8_t *kinds) {
    const struct bc_func *func = &l->bc->funcs[l->func];
    struct bc_instr in;
    if (bc_decode_instr(l->bc, at, func->body.offset + func->body.size, &in, NULL)) { /* validated: never */
        l->failed = true;
        return;
    }
    l->instr_offset = at;
    lower_forget(l);
    uint32_t enter = lower_emit_trapping(l, H_ENTER_0, 2);
    l->last = NOTHING;
    for (uint32_t i = 0; i < n_args && !l->failed; i++) lower_push(l, IN_SLOT, kinds[i], 0);
    lower_instr(l, &in);
    lower_args(l, l->n_stack);
    lower_emit(l, H_EXIT, 1);
    lower_operand(l, enter, 0, l->max_slot + 2);
}

enum atoll_status interp_lower_one(const struct rt_module *module, uint32_t func, uint32_t at,
                                   uint32_t n_args, const uint8_t *kinds, struct interp_code *out,
                                   uint32_t *n_results) {
    *out = (struct interp_code){0};
    struct lower l = {.module = module,
                      .bc = module->bc,
                      .alloc = module->engine->alloc,
                      .type = module->types[module->bc->funcs[func].type],
                      .func = func,
                      .relaxed_native = !module->engine->config.relaxed_deterministic,
                      .code = out};
    l.locals = atoll_new(l.alloc, 1, sizeof *l.locals);
    l.failed = !l.locals;
    if (!l.failed) lower_one(&l, at, n_args, kinds);
    *n_results = 0;
    for (size_t i = 0; i < l.n_stack; i++) *n_results += l.stack[i].kind == BC_KIND_V128 ? 2 : 1;
    fini(&l);
    if (!l.failed) return ATOLL_OK;
    interp_code_fini(l.alloc, out);
    return ATOLL_E_NOMEM;
}

/* ---- the operand stack, which exists only here ---- */

static struct interp_operand operand(const struct lower *l, const struct value *v) {
    int32_t slot = v->where == IN_LOCAL ? l->locals[v->bits].slot : v->slot;
    return (struct interp_operand){.kind = v->kind,
                                   .in_frame = v->where == IN_SLOT || v->where == IN_LOCAL,
                                   .known = v->where != IN_ACC, /* its slot is written when it has to be */
                                   .slot = slot,
                                   .bits = v->where == IN_CONST ? v->bits : 0};
}

enum atoll_status interp_operands_at(const struct rt_module *module, uint32_t func, bool guarded,
                                     uint32_t offset, struct interp_operand **out, size_t *out_n,
                                     size_t *out_capacity) {
    struct interp_code code;
    struct lower l;
    void *p = *out;
    bool started = init(&l, module, func, guarded, &code);
    l.stop_at = offset;
    if (started) lower_function(&l);
    if (!l.failed) l.failed = atoll_grow(l.alloc, &p, out_capacity, l.n_stack + 1, sizeof **out);
    *out = p;
    *out_n = 0;
    for (size_t i = 0; !l.failed && i < l.n_stack; i++) (*out)[(*out_n)++] = operand(&l, &l.stack[i]);
    fini(&l);
    interp_code_fini(l.alloc, &code);
    return l.failed ? ATOLL_E_NOMEM : ATOLL_OK;
}

/* ---- what a loop's head finds ---- */

static bool take_loop(const struct lower *l, struct interp_loop *out) {
    int32_t below = INTERP_HEADER_SLOTS + (int32_t)l->window;
    out->values = atoll_new(l->alloc, l->n_locals + l->n_stack + 1, sizeof *out->values);
    out->heights = atoll_new(l->alloc, l->n_frames, sizeof *out->heights);
    out->n_locals = l->n_locals;
    out->n_operands = (uint32_t)l->n_stack;
    out->n_blocks = (uint32_t)l->n_frames - 1;
    if (!out->values || !out->heights) return false;
    for (uint32_t i = 0; i < l->n_locals; i++)
        out->values[i] = (struct interp_operand){
            .kind = l->locals[i].kind, .in_frame = true, .known = true, .slot = l->locals[i].slot + below};
    for (uint32_t i = 0; i < l->n_stack; i++) {
        struct interp_operand *o = out->values + l->n_locals + i;
        *o = operand(l, l->stack + i);
        o->slot += below;
    }
    for (uint32_t i = 1; i < l->n_frames; i++) out->heights[i - 1] = l->frames[i].height;
    return true;
}

enum atoll_status interp_loop_at(const struct rt_module *module, uint32_t func, bool guarded, uint32_t offset,
                                 struct interp_loop *out) {
    struct interp_code code;
    struct lower l;
    struct bc_instr in;
    const struct bc_func *body = &module->bc->funcs[func];
    *out = (struct interp_loop){0};
    bool started = init(&l, module, func, guarded, &code);
    l.failed |= bc_decode_instr(module->bc, offset, body->body.offset + body->body.size, &in, NULL) != 0;
    l.stop_at = in.next;
    if (started && !l.failed) lower_function(&l);
    if (!l.failed) l.failed = !take_loop(&l, out);
    fini(&l);
    interp_code_fini(l.alloc, &code);
    return l.failed ? ATOLL_E_NOMEM : ATOLL_OK;
}

void interp_loop_fini(const struct atoll_alloc *alloc, struct interp_loop *loop) {
    atoll_free(alloc, loop->values, (loop->n_locals + loop->n_operands + 1) * sizeof *loop->values);
    atoll_free(alloc, loop->heights, (loop->n_blocks + 1) * sizeof *loop->heights);
}

/* ---- where fuel is taken ---- */

enum atoll_status interp_fuels_of(const struct rt_module *module, uint32_t func, struct interp_fuels *out) {
    struct interp_code code;
    struct lower l;
    *out = (struct interp_fuels){0};
    bool started = init(&l, module, func, true, &code);
    l.fuels = out;
    if (started) lower_function(&l);
    fini(&l);
    interp_code_fini(l.alloc, &code);
    return l.failed ? ATOLL_E_NOMEM : ATOLL_OK;
}

void interp_fuels_fini(const struct atoll_alloc *alloc, struct interp_fuels *fuels) {
    atoll_free(alloc, fuels->items, fuels->capacity * sizeof *fuels->items);
}
