/* jit/emit_call.c: calls, and instructions that the interpreter's code runs. A call within the module knows
 * its target; any other looks at the function's instance: when it is another one, r14 and r15 change for the
 * time of the call. */
#include <stddef.h>
#include "jit/code.h"
#include "jit/emit.h"

/* Arguments into place; the function of an indirect call, or its index, is the last item and goes to rax. `base`: where
 * the outgoing area begins, from rsp. */
static void place_arguments(struct emit *e, const struct ir_ins *i, const struct rt_type *type,
                            uint32_t base) {
    struct ir_func *f = e->f;
    struct jit_arg *args = bc_arena_new(&f->arena, type->n_params + 1u, sizeof *args);
    if (!args) {
        e->a.failed = true;
        return;
    }
    jit_place_args(type->params, type->n_params, args);
    for (uint32_t k = 0; k < i->b; k++) {
        uint32_t v = f->items[i->a + k];
        uint8_t loc = f->item_regs[i->a + k];
        bool callee = k >= type->n_params;
        moves_add(e, v, loc, loc == LOC_SPILL ? emit_slot_offset(e, v) : 0, callee ? RAX : args[k].reg,
                  callee ? 0 : base + args[k].offset, f->ins[v].type);
    }
    moves_flush(e);
}

static void take_result(struct emit *e, const struct ir_ins *i) {
    if (i->type != IR_VOID) emit_move(e, i->type, i->reg, ir_is_float(i->type) ? XMM0 : RAX);
}

/* A call (0xE8) or jump (0xE9) to a function of the module: of machine code that has its place already, or gets it
 * together with ours, the distance is known; other functions are asked where theirs is. */
static void go_to_own(struct emit *e, uint32_t func, uint8_t opcode) {
    const struct ir_func *f = e->f;
    struct x86 *a = &e->a;
    const struct jit_code *codes = e->layout->codes;
    uint32_t own = func - f->bc->n_imported_funcs;
    bool self = func == f->func && !f->loop;
    if (!codes || self || jit_start_of(codes + own)) {
        x86_bytes(a, opcode, 1);
        emit_reloc(e, codes && self ? JIT_RELOC_SELF : JIT_RELOC_FUNC, func);
        return;
    }
    int32_t at = e->layout->own_funcs + (int32_t)(own * sizeof(struct rt_func));
    x86_op(a, X86_LEA | X86_W, RAX, x86_mem(INSTANCE, at));
    x86_op(a, X86_CODE(0, 0, 0xFF), opcode == 0xE8 ? 2 : 4, x86_mem(RAX, offsetof(struct rt_func, jit_code)));
}

/* rax = the function. The flags, which come from the instruction at `from`, tell whether it is one of our instance;
 * where not, the stub takes over. */
static void call_near_or(struct emit *e, const struct ir_ins *i, size_t from, unsigned stub) {
    struct x86 *a = &e->a;
    struct stub *s = emit_stub(e, stub, i->where);
    size_t number = e->n_stubs - 1;
    s->imm = (uint32_t)(i - e->f->ins);
    x86_branch(a, CC_NE, s->label);
    emit_keep_together(e, from);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_mem(RAX, offsetof(struct rt_func, jit_code)));
    emit_return_pc(e, i->where);
    emit_landings(e, (uint32_t)(i - e->f->ins));
    uint32_t back = emit_label(e);
    if (number < e->n_stubs) e->stubs[number].back = back;
    emit_bind(e, back);
}

static void call_through(struct emit *e, const struct ir_ins *i) {
    size_t from = e->a.size;
    x86_op(&e->a, X86_CMP | X86_W, INSTANCE, x86_mem(RAX, offsetof(struct rt_func, instance)));
    call_near_or(e, i, from, STUB_FAR_CALL);
}

static void far_call_stub(struct emit *e, const struct stub *s) {
    struct x86 *a = &e->a;
    struct x86_rm self = x86_mem(RSP, (int32_t)e->self_at);
    uint32_t host = emit_label(e);
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(RAX, offsetof(struct rt_func, instance)));
    x86_op(a, X86_MOV_STORE | X86_W, INSTANCE, self);
    x86_op(a, X86_TEST | X86_W, SCRATCH, x86_reg(SCRATCH));
    x86_branch(a, CC_E, host);
    x86_op(a, X86_MOV_LOAD | X86_W, INSTANCE, x86_reg(SCRATCH));
    x86_op(a, X86_MOV_LOAD | X86_W, MEMORY, x86_mem(INSTANCE, offsetof(struct rt_instance, memory0_base)));
    emit_bind(e, host);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_mem(RAX, offsetof(struct rt_func, jit_code)));
    emit_return_pc(e, s->where | JIT_FAR);
    emit_landings(e, (uint32_t)s->imm);
    x86_op(a, X86_MOV_LOAD | X86_W, INSTANCE, self);
    x86_op(a, X86_MOV_LOAD | X86_W, MEMORY, x86_mem(INSTANCE, offsetof(struct rt_instance, memory0_base)));
    x86_jump(a, s->back);
}

static void call(struct emit *e, const struct ir_ins *i) {
    struct ir_func *f = e->f;
    uint32_t func = (uint32_t)i->imm;
    place_arguments(e, i, f->module->types[f->bc->funcs[func].type], 0);
    if (func >= f->bc->n_imported_funcs) {
        go_to_own(e, func, 0xE8);
        emit_return_pc(e, i->where);
        emit_landings(e, (uint32_t)(i - e->f->ins));
    } else {
        x86_op(&e->a, X86_MOV_LOAD | X86_W, RAX, x86_mem(INSTANCE, e->layout->funcs + 8 * (int32_t)func));
        call_through(e, i);
    }
    take_result(e, i);
}

static void call_indirect(struct emit *e, const struct ir_ins *i) {
    place_arguments(e, i, e->f->module->types[i->imm], 0);
    call_through(e, i);
    take_result(e, i);
}

/* rax = the function. What our frame keeps comes back, but the frame stays: the thunk takes the arguments out of it. */
static void tail_by_thunk(struct emit *e, const struct jit_tail *tail) {
    struct x86 *a = &e->a;
    emit_restore_saved(e);
    x86_op(a, X86_LEA | X86_W, SCRATCH, x86_mem(RSP, (int32_t)emit_caller_area(e) - 8));
    x86_const(a, R10, tail->area | (uint64_t)tail->results << 32);
    x86_bytes(a, 0xE9, 1);
    emit_reloc(e, JIT_RELOC_TAIL, tail->tail_class);
}

/* rax = a function without arguments on the stack; our frame is gone. */
static void tail_to_function(struct emit *e, const struct jit_tail *tail) {
    struct x86 *a = &e->a;
    uint32_t far_label = emit_label(e);
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(RAX, offsetof(struct rt_func, instance)));
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_reg(INSTANCE));
    x86_branch(a, CC_NE, far_label);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_mem(RAX, offsetof(struct rt_func, jit_code)));
    emit_bind(e, far_label);
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_reg(RSP));
    x86_op(a, X86_LEA | X86_W, RSP,
           x86_mem(RSP, -(int32_t)(jit_tail_room(tail->tail_class) + JIT_TAIL_BYTES)));
    x86_const(a, R10, (uint64_t)tail->results << 32);
    x86_bytes(a, 0xE9, 1);
    emit_reloc(e, JIT_RELOC_TAIL, tail->tail_class);
}

/* The arguments stand where ours did, then the frame goes and the callee returns to our caller; or a thunk does all of
 * that (struct jit_tail). One in another instance is entered by a thunk that our caller never sees; it finds its instance
 * in the function. */
static void tail_call(struct emit *e, const struct ir_ins *i) {
    struct ir_func *f = e->f;
    struct x86 *a = &e->a;
    bool indirect = i->op == IR_TAIL_INDIRECT;
    const struct rt_type *type = f->module->types[indirect ? i->imm : f->bc->funcs[i->imm].type];
    bool within = !indirect && i->imm >= f->bc->n_imported_funcs;
    struct jit_tail tail = jit_tail_of(f->type, type, within);
    place_arguments(e, i, type, tail.thunk ? 0 : emit_caller_area(e));
    if (within && !tail.thunk) {
        emit_leave_frame(e);
        go_to_own(e, (uint32_t)i->imm, 0xE9);
        return;
    }
    if (within)
        x86_op(a, X86_LEA | X86_W, RAX,
               x86_mem(INSTANCE, e->layout->own_funcs +
                                     (int32_t)((i->imm - f->bc->n_imported_funcs) * sizeof(struct rt_func))));
    else if (!indirect)
        x86_op(a, X86_MOV_LOAD | X86_W, RAX, x86_mem(INSTANCE, e->layout->funcs + 8 * (int32_t)i->imm));
    if (tail.thunk) {
        tail_by_thunk(e, &tail);
        return;
    }
    emit_leave_frame(e);
    tail_to_function(e, &tail);
}

/* to <- what is in the table at the index, which is not null. Of a table that never grows size and place are known. */
static void load_element(struct emit *e, const struct ir_ins *i, int index, int to) {
    struct x86 *a = &e->a;
    const struct bc_limits *limits = &e->f->bc->tables[i->index].limits;
    if (rt_table_is_fixed(limits) && limits->min <= INT32_MAX) {
        x86_alu_imm(a, 7, X86_W, x86_reg(index), (int32_t)limits->min);
        emit_trap_if(e, CC_AE, RT_TRAP_UNDEFINED_ELEMENT, i->where);
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH,
               x86_mem(INSTANCE, e->layout->table_elems + 8 * (int32_t)i->index));
    } else {
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH,
               x86_mem(INSTANCE, e->layout->tables + 8 * (int32_t)i->index));
        x86_op(a, X86_CMP | X86_W, index, x86_mem(SCRATCH, offsetof(struct rt_table, size)));
        emit_trap_if(e, CC_AE, RT_TRAP_UNDEFINED_ELEMENT, i->where);
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(SCRATCH, offsetof(struct rt_table, elems)));
    }
    x86_op(a, X86_MOV_LOAD | X86_W, to, x86_mem_index(SCRATCH, index, 3, 0));
    x86_op(a, X86_TEST | X86_W, to, x86_reg(to));
    emit_trap_if(e, CC_E, RT_TRAP_UNINITIALIZED_ELEMENT, i->where);
}

/* Type and instance are those that are wanted where the function is kin of our first function of the type. Any other,
 * and one whose type is below the wanted one, the stub looks at. */
static void call_table(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    uint32_t first = e->f->module->first_funcs[i->imm];
    place_arguments(e, i, e->f->module->types[i->imm], 0);
    load_element(e, i, RAX, RAX);
    int32_t kin = first == BC_NONE ? 0 : e->layout->own_funcs + (int32_t)(first * sizeof(struct rt_func));
    x86_op(a, X86_LEA | X86_W, SCRATCH, x86_mem(INSTANCE, kin)); /* an instance is no function */
    size_t from = a->size;
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_mem(RAX, offsetof(struct rt_func, kin)));
    call_near_or(e, i, from, STUB_OTHER_KIN);
    take_result(e, i);
}

/* rax = the function, whose type is looked at. r10 is nobody's argument. */
static void other_kin_stub(struct emit *e, const struct stub *s) {
    struct x86 *a = &e->a;
    uint32_t type_index = (uint32_t)e->f->ins[s->imm].imm, decided = emit_label(e), good = emit_label(e);
    const struct rt_type *type = e->f->module->types[type_index];
    emit_address_of(e, SCRATCH, JIT_RELOC_TYPE, type_index);
    x86_op(a, X86_MOV_LOAD | X86_W, R10, x86_mem(RAX, offsetof(struct rt_func, type)));
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_reg(R10));
    if (!type->final) {
        x86_branch(a, CC_E, good);
        x86_alu_imm(a, 7, 0, x86_mem(R10, offsetof(struct rt_type, depth)), (int32_t)type->depth);
        x86_branch(a, CC_B, decided);
        x86_op(a, X86_MOV_LOAD | X86_W, R10, x86_mem(R10, offsetof(struct rt_type, display)));
        x86_op(a, X86_CMP | X86_W, SCRATCH, x86_mem(R10, 8 * (int32_t)type->depth));
        emit_bind(e, decided);
    }
    x86_branch(a, CC_E, good);
    x86_bytes(a, 0xE8, 1);
    emit_reloc(e, JIT_RELOC_TRAP, RT_TRAP_INDIRECT_TYPE);
    emit_return_pc(e, s->where);
    emit_bind(e, good);
    far_call_stub(e, s);
}

static void table_func(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    const struct rt_type *type = e->f->module->types[i->imm];
    int index = i->reg_a;
    if (e->f->ins[i->a].op == IR_CONST) emit_load_value(e, index = i->reg, i->a, LOC_NONE);
    load_element(e, i, index, i->reg);
    emit_address_of(e, SCRATCH, JIT_RELOC_TYPE, (uint32_t)i->imm);
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_mem(i->reg, offsetof(struct rt_func, type)));
    if (type->final) {
        emit_trap_if(e, CC_NE, RT_TRAP_INDIRECT_TYPE, i->where);
        return;
    }
    struct stub *s = emit_stub(e, STUB_TYPE, i->where);
    s->reg = i->reg;
    s->imm = i->imm;
    x86_branch(a, CC_NE, s->label);
    uint32_t back = emit_label(e);
    e->stubs[e->n_stubs - 1].back = back;
    emit_bind(e, back);
}

/* The function's type may be below the one that is wanted: its display tells. */
static void type_stub(struct emit *e, const struct stub *s) {
    struct x86 *a = &e->a;
    const struct rt_type *type = e->f->module->types[s->imm];
    int temporary = s->reg == RCX ? RAX : RCX;
    uint32_t decided = emit_label(e), trap = emit_label(e);
    x86_bytes(a, 0x50u | (unsigned)temporary, 1);
    x86_op(a, X86_MOV_LOAD | X86_W, temporary, x86_mem(s->reg, offsetof(struct rt_func, type)));
    x86_alu_imm(a, 7, 0, x86_mem(temporary, offsetof(struct rt_type, depth)), (int32_t)type->depth);
    x86_branch(a, CC_B, decided);
    x86_op(a, X86_MOV_LOAD | X86_W, temporary, x86_mem(temporary, offsetof(struct rt_type, display)));
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_mem(temporary, 8 * (int32_t)type->depth));
    emit_bind(e, decided);
    x86_bytes(a, 0x58u | (unsigned)temporary, 1);
    x86_branch(a, CC_NE, trap);
    x86_jump(a, s->back);
    emit_bind(e, trap);
    x86_bytes(a, 0xE8, 1);
    emit_reloc(e, JIT_RELOC_TRAP, RT_TRAP_INDIRECT_TYPE);
    emit_return_pc(e, s->where);
}

/* A field's value from the outgoing area (at < 0: zero, in rdx) to the object in rax. */
static void put_field(struct x86 *a, const struct rt_slot_place *place, int32_t at) {
    static const uint32_t ops[] = {X86_MOV_STORE8, X86_MOV_STORE16, X86_MOV_STORE, X86_MOV_STORE | X86_W};
    struct x86_rm to = x86_mem(RAX, (int32_t)place->offset);
    if (place->size_log2 == 4) {
        if (at < 0)
            x86_op(a, X86_XORPS, XMM0, x86_reg(XMM0)); /* calls destroy it, and this stands for one */
        else
            x86_op(a, X86_MOVUPS_LOAD, XMM0, x86_mem(RSP, at));
        x86_op(a, X86_MOVUPS_STORE, XMM0, to);
        return;
    }
    if (at >= 0) x86_op(a, X86_MOV_LOAD | X86_W, RDX, x86_mem(RSP, at));
    x86_op(a, ops[place->size_log2], RDX, to);
}

/* A small new struct comes from the store's free list in line, as in the interpreter; its values stand in the outgoing
 * area. Where the list is empty the code goes on to the interpreter's. */
static void new_struct(struct emit *e, const struct ir_ins *i, uint32_t done) {
    struct ir_func *f = e->f;
    struct x86 *a = &e->a;
    struct bc_instr in;
    if (!f->module->engine->heap ||
        bc_decode_instr(f->bc, ir_byte(f, i->where), (uint32_t)f->bc->n_bytes, &in, NULL))
        return;
    if (in.op != BC_STRUCT_NEW && in.op != BC_STRUCT_NEW_DEFAULT) return;
    const struct rt_layout *layout = rt_layout_of(f->module->engine, f->module->types[in.index]);
    if (!layout || layout->size_bytes > RT_SMALL_BYTES) return;
    int32_t list =
        (int32_t)(offsetof(struct rt_heap, free) + sizeof(void *) * rt_free_list(layout, layout->size_bytes));
    uint32_t empty = emit_label(e);
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(INSTANCE, offsetof(struct rt_instance, store)));
    x86_op(a, X86_MOV_LOAD | X86_W, RCX, x86_mem(SCRATCH, offsetof(struct rt_store, heap)));
    x86_op(a, X86_MOV_LOAD | X86_W, RAX, x86_mem(RCX, list));
    x86_op(a, X86_TEST | X86_W, RAX, x86_reg(RAX));
    x86_branch(a, CC_E, empty);
    x86_op(a, X86_MOV_LOAD | X86_W, RDX, x86_mem(RAX, 0)); /* off the list before the first word is written */
    x86_op(a, X86_MOV_STORE | X86_W, RDX, x86_mem(RCX, list));
    emit_address_of(e, RDX, JIT_RELOC_LAYOUT, in.index);
    x86_op(a, X86_MOV_STORE | X86_W, RDX, x86_mem(RAX, 0));
    bool zero = in.op == BC_STRUCT_NEW_DEFAULT;
    if (zero) x86_op(a, X86_XOR, RDX, x86_reg(RDX));
    for (uint32_t k = 0, at = 0; k < layout->n_fields; k++) {
        put_field(a, layout->fields + k, zero ? -1 : (int32_t)at);
        at += layout->fields[k].size_log2 == 4 ? 16 : 8;
    }
    x86_op(a, X86_MOV_STORE | X86_W, RAX, x86_mem(RSP, 0));
    x86_jump(a, done);
    emit_bind(e, empty);
}

/* Operands into the outgoing area, a slot each, a vector two. */
static void put_slots(struct emit *e, const struct ir_ins *i) {
    struct ir_func *f = e->f;
    uint32_t at = 0;
    for (uint32_t k = 0; k < i->b; k++) {
        uint32_t v = f->items[i->a + k];
        uint8_t loc = f->item_regs[i->a + k];
        /* a float of 32 bits takes a slot with a clear upper half */
        if (f->ins[v].type == IR_F32 && f->ins[v].op != IR_CONST)
            x86_op_imm(&e->a, X86_CODE(0, 0, 0xC7) | X86_W, 0, x86_mem(RSP, (int32_t)at), 0, 4);
        moves_add(e, v, loc, loc == LOC_SPILL ? emit_slot_offset(e, v) : 0, LOC_SPILL, at, f->ins[v].type);
        at += f->ins[v].type == IR_V128 ? 16 : 8;
    }
    moves_flush(e);
}

/* The thunk looks for a handler, here and further out. */
static void throw_to(struct emit *e, const struct ir_ins *i, unsigned thunk) {
    x86_bytes(&e->a, 0xE8, 1);
    emit_reloc(e, thunk, 0);
    emit_return_pc(e, i->where);
    emit_landings(e, (uint32_t)(i - e->f->ins));
}

static void throw(struct emit * e, const struct ir_ins *i) {
    put_slots(e, i);
    x86_const(&e->a, RDX, i->imm);
    throw_to(e, i, JIT_RELOC_THROW);
}

static void throw_ref(struct emit *e, const struct ir_ins *i) {
    emit_load_value(e, RDX, i->a, i->reg_a);
    throw_to(e, i, JIT_RELOC_THROW_REF);
}

static void slow(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    put_slots(e, i);
    uint32_t done = emit_label(e);
    new_struct(e, i, done);
    x86_op(a, X86_MOV_LOAD | X86_W, RDI, x86_reg(INSTANCE));
    x86_op(a, X86_MOV_LOAD | X86_W, RSI, x86_reg(RSP));
    emit_address_of(e, RDX, JIT_RELOC_SLOW, (uint32_t)i->imm);
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(INSTANCE, offsetof(struct rt_instance, store)));
    x86_op(a, X86_MOV_STORE | X86_W, RSP, x86_mem(SCRATCH, offsetof(struct rt_store, native_sp)));
    emit_address_of(e, RAX, JIT_RELOC_SLOW_RUN, 0);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_reg(RAX));
    emit_return_pc(e, i->where);
    x86_op(a, X86_TEST, RAX, x86_reg(RAX));
    struct stub *s = emit_stub(e, STUB_LEAVE, i->where);
    x86_branch(a, CC_NE, s->label);
    emit_bind(e, done);
}

/* A result behind the first, any of a slow instruction, or a value of an exception. */
static void result(struct emit *e, const struct ir_ins *i) {
    x86_op(&e->a, emit_load_op(i->type), i->reg, x86_mem(RSP, (int32_t)i->imm));
}

void emit_other_stub(struct emit *e, const struct stub *s) {
    switch (s->kind) {
    case STUB_LEAVE:
        x86_bytes(&e->a, 0xE9, 1);
        emit_reloc(e, JIT_RELOC_LEAVE, 0);
        break;
    case STUB_FAR_CALL: far_call_stub(e, s); break;
    case STUB_OTHER_KIN: other_kin_stub(e, s); break;
    case STUB_TYPE: type_stub(e, s); break;
    default: emit_trunc_stub(e, s); break;
    }
}

bool emit_call(struct emit *e, struct ir_ins *i) {
    switch (i->op) {
    case IR_CALL: call(e, i); break;
    case IR_CALL_INDIRECT: call_indirect(e, i); break;
    case IR_TAIL_CALL:
    case IR_TAIL_INDIRECT: tail_call(e, i); break;
    case IR_CALL_TABLE: call_table(e, i); break;
    case IR_TABLE_FUNC: table_func(e, i); break;
    case IR_SLOW: slow(e, i); break;
    case IR_RESULT: result(e, i); break;
    case IR_THROW: throw(e, i); break;
    case IR_THROW_REF: throw_ref(e, i); break;
    default: return false;
    }
    return true;
}
