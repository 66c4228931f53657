/* jit/thunk.c: machine code between compiled functions and the host.
 *
 *   entry   a C call with slots -> the convention of compiled functions; one a function type
 *   trap    a trap's site -> jit_trap, then leave
 *   leave   out of all compiled frames, to the entry's caller, with the trap in eax
 *   throw   a throw's site -> jit_throw, then its handler, or leave
 *   refuel  fuel is below zero -> jit_refuel, then back, or a trap
 *   tail    a tail call that needs more room than its caller has, or leads into another instance -> the callee
 *   bridge  rax = a function without code: its arguments are saved, jit_bridge calls it
 *   first   rax = a function whose saved code waits for its first call: jit_first, then to its code, or the bridge */
#include <stddef.h>
#include <string.h>
#include "jit/alloc.h"
#include "jit/engine.h"

#define BRIDGE_BYTES 184
static const uint8_t saved[] = {RBX, RBP, R12, R13, R14, R15, RSI};

static void push(struct x86 *a, int reg) {
    if (reg >= 8) x86_bytes(a, 0x41, 1);
    x86_bytes(a, 0x50u | (reg & 7), 1);
}
static void pop(struct x86 *a, int reg) {
    if (reg >= 8) x86_bytes(a, 0x41, 1);
    x86_bytes(a, 0x58u | (reg & 7), 1);
}
static void mov(struct x86 *a, int dst, int src) { x86_op(a, X86_MOV_LOAD | X86_W, dst, x86_reg(src)); }
static void load(struct x86 *a, int dst, int base, int32_t at) {
    x86_op(a, X86_MOV_LOAD | X86_W, dst, x86_mem(base, at));
}
static void store(struct x86 *a, int src, int base, int32_t at) {
    x86_op(a, X86_MOV_STORE | X86_W, src, x86_mem(base, at));
}
static void call_c(struct x86 *a, uintptr_t function) {
    x86_const(a, RAX, function);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_reg(RAX));
}
static void add_rsp(struct x86 *a, int32_t n) {
    x86_alu_imm(a, n < 0 ? 5 : 0, X86_W, x86_reg(RSP), n < 0 ? -n : n);
}

static void leave(struct x86 *a) {
    load(a, RCX, R14, offsetof(struct rt_instance, store));
    load(a, RSP, RCX, offsetof(struct rt_store, native_entry));
    for (size_t i = sizeof saved; i-- > 0;) pop(a, saved[i]);
    x86_bytes(a, 0xC3, 1);
}

/* ---- entries ---- */

static void load_argument(struct x86 *a, const struct rt_valtype *type, const struct jit_arg *arg,
                          int32_t slot) {
    int reg = arg->reg;
    bool wide = type->kind == BC_KIND_V128;
    if (reg < 16) {
        load(a, reg, RBX, slot);
    } else if (reg < 32) {
        x86_op(a, wide ? X86_MOVUPS_LOAD : X86_MOVSD_LOAD, reg, x86_mem(RBX, slot));
    } else if (wide) {
        x86_op(a, X86_MOVUPS_LOAD, XMM15, x86_mem(RBX, slot));
        x86_op(a, X86_MOVUPS_STORE, XMM15, x86_mem(RSP, (int32_t)arg->offset));
    } else {
        load(a, R11, RBX, slot);
        store(a, R11, RSP, (int32_t)arg->offset);
    }
}

static void store_result(struct x86 *a, uint32_t k, uint8_t kind, int32_t slot) {
    struct x86_rm to = x86_mem(RBX, slot), area = x86_mem(RSP, k ? 16 * (int32_t)(k - 1) : 0);
    switch (kind) {
    case BC_KIND_V128:
        if (k) x86_op(a, X86_MOVUPS_LOAD, XMM0, area);
        x86_op(a, X86_MOVUPS_STORE, XMM0, to);
        return;
    case BC_KIND_F32: /* the slot's upper half is zero */
    case BC_KIND_I32:
        if (k)
            x86_op(a, X86_MOV_LOAD, RAX, area);
        else if (kind == BC_KIND_F32)
            x86_op(a, X86_MOVD_FROM_XMM, XMM0, x86_reg(RAX));
        break;
    default:
        if (k)
            x86_op(a, X86_MOV_LOAD | X86_W, RAX, area);
        else if (kind == BC_KIND_F64)
            x86_op(a, X86_MOVD_FROM_XMM | X86_W, XMM0, x86_reg(RAX));
    }
    x86_op(a, X86_MOV_STORE | X86_W, RAX, to);
}

bool jit_entry_emit(const struct atoll_alloc *alloc, const struct rt_type *type, bool at_loop, struct x86 *a,
                    struct jit_unwind *unwind) {
    struct jit_arg *args = atoll_new(alloc, type->n_params + 1u, sizeof *args);
    if (!args) return false;
    uint32_t area = at_loop ? 0 : jit_place_args(type->params, type->n_params, args);
    if (type->n_results > 1 && area < 16 * (type->n_results - 1)) area = 16 * (type->n_results - 1);
    uint32_t distance = 8;
    for (size_t i = 0; i < sizeof saved; i++) {
        push(a, saved[i]);
        jit_unwind_at(unwind, (uint32_t)a->size);
        jit_unwind_end(unwind, RSP, distance += 8);
        jit_unwind_kept(unwind, saved[i], distance);
    }
    store(a, RSP, RCX, offsetof(struct rt_store, native_entry));
    mov(a, RBX, RSI);
    mov(a, R14, RDX);
    load(a, R15, RDX, offsetof(struct rt_instance, memory0_base));
    mov(a, RAX, RDI);
    if (area) add_rsp(a, -(int32_t)area);
    jit_unwind_at(unwind, (uint32_t)a->size);
    jit_unwind_end(unwind, RSP, distance + area);
    store(a, RSP, RCX, offsetof(struct rt_store, native_call));
    int32_t slot = 0;
    if (at_loop) mov(a, jit_int_args[0], RBX);
    for (uint32_t i = 0; i < type->n_params && !at_loop; i++) {
        load_argument(a, type->params + i, args + i, slot);
        slot += type->params[i].kind == BC_KIND_V128 ? 16 : 8;
    }
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_reg(RAX));
    /* rbx came back */
    slot = 0;
    for (uint32_t k = 0; k < type->n_results; k++) {
        store_result(a, k, type->results[k].kind, slot);
        slot += type->results[k].kind == BC_KIND_V128 ? 16 : 8;
    }
    x86_op(a, X86_XOR, RAX, x86_reg(RAX));
    if (area) add_rsp(a, (int32_t)area);
    for (size_t i = sizeof saved; i-- > 0;) pop(a, saved[i]);
    x86_bytes(a, 0xC3, 1);
    atoll_free(alloc, args, (type->n_params + 1u) * sizeof *args);
    return !a->failed;
}

/* ---- the engine's own ---- */

enum {
    LABEL_TRAPS, /* at 0 */
    LABEL_COMMON,
    LABEL_LEAVE,
    LABEL_BRIDGE,
    LABEL_TAIL_BACKS,
    LABEL_FROM_HOST,
    LABEL_THROW,
    LABEL_THROW_REF,
    LABEL_RAISE,
    LABEL_UNWIND,
    LABEL_REFUEL,
    LABEL_NO_FUEL,
    LABEL_FIRST,
    /* where a frame stands, for jit_unwind; no jump leads there */
    LABEL_COMMON_FRAMED,
    LABEL_BRIDGE_FRAMED,
    LABEL_UNWIND_FRAMED,
    LABEL_FIRST_FRAMED,
    LABEL_REFUEL_FRAMED,
    LABEL_TAILS
};
enum { /* behind LABEL_TAILS, a class */
       TAIL_BACK,
       TAIL_BACK_END,
       TAIL_ENTER,
       TAIL_AGAIN,
       TAIL_FRESH,
       TAIL_BUILD,
       TAIL_FILL,
       TAIL_COPY,
       TAIL_COPY_END,
       TAIL_LABELS
};
#define N_LABELS (LABEL_TAILS + TAIL_LABELS * JIT_TAIL_CLASSES)

static void trap_thunks(struct x86 *a, uint32_t *labels) {
    for (unsigned trap = 0; trap < RT_TRAP_COUNT; trap++) {
        x86_const(a, RDI, trap);
        x86_jump(a, LABEL_COMMON);
        while (!a->failed && a->size & 15) x86_bytes(a, 0xCC, 1);
    }
    labels[LABEL_COMMON] = (uint32_t)a->size;
    x86_op(a, X86_LEA | X86_W, RSI, x86_mem(RSP, 8)); /* as it was before the call that got here */
    mov(a, RDX, R14);
    mov(a, RBX, RSI);
    labels[LABEL_COMMON_FRAMED] = (uint32_t)a->size;
    x86_alu_imm(a, 4, X86_W, x86_reg(RSP), -16);
    call_c(a, (uintptr_t)jit_trap);
    labels[LABEL_LEAVE] = (uint32_t)a->size;
    leave(a);
    while (!a->failed && a->size & 15) x86_bytes(a, 0xCC, 1);
    labels[LABEL_FROM_HOST] = (uint32_t)a->size;
    x86_op(a, X86_MOV_LOAD, RAX, x86_reg(RDI));
    mov(a, R14, RSI);
    leave(a);
}

/* A frame with a struct jit_regs at its end; rdx = rsp as it was before the call that got here. */
static void save_arguments(struct x86 *a) {
    add_rsp(a, -BRIDGE_BYTES);
    for (int i = 0; i < JIT_N_INT_ARGS; i++) store(a, jit_int_args[i], RSP, 8 * i);
    for (int i = 0; i < JIT_N_FLOAT_ARGS; i++)
        x86_op(a, X86_MOVUPS_STORE, XMM0 + i, x86_mem(RSP, 48 + 16 * i));
    x86_op(a, X86_LEA | X86_W, RDX, x86_mem(RSP, BRIDGE_BYTES + 8));
    load(a, R11, R14, offsetof(struct rt_instance, store));
    store(a, RDX, R11, offsetof(struct rt_store, native_sp));
}

static void bridge(struct x86 *a, uint32_t *labels) {
    while (!a->failed && a->size & 15) x86_bytes(a, 0xCC, 1);
    labels[LABEL_BRIDGE] = (uint32_t)a->size;
    save_arguments(a);
    labels[LABEL_BRIDGE_FRAMED] = (uint32_t)a->size;
    mov(a, RDI, RAX);
    mov(a, RSI, RSP);
    mov(a, RCX, R14);
    call_c(a, (uintptr_t)jit_bridge);
    x86_op(a, X86_TEST, RAX, x86_reg(RAX));
    x86_branch(a, CC_NE, LABEL_RAISE);
    load(a, RAX, RSP, 0);
    x86_op(a, X86_MOVUPS_LOAD, XMM0, x86_mem(RSP, 48));
    add_rsp(a, BRIDGE_BYTES);
    x86_bytes(a, 0xC3, 1);
}

static void align_label(struct x86 *a, uint32_t *labels, unsigned label) {
    while (!a->failed && a->size & 15) x86_bytes(a, 0xCC, 1);
    labels[label] = (uint32_t)a->size;
}

/* rdx = what is thrown, or the trap of a callee; a handler in a compiled frame goes on with the registers as they were at
 * its call. */
static void unwind(struct x86 *a, uint32_t *labels) {
    const int32_t saved_at = offsetof(struct jit_resume, saved);
    align_label(a, labels, LABEL_THROW);
    x86_op(a, X86_LEA | X86_W, RSI, x86_mem(RSP, 8));
    x86_const(a, RAX, (uintptr_t)jit_throw);
    x86_jump(a, LABEL_UNWIND);
    align_label(a, labels, LABEL_THROW_REF);
    x86_op(a, X86_LEA | X86_W, RSI, x86_mem(RSP, 8));
    x86_const(a, RAX, (uintptr_t)jit_throw_ref);
    x86_jump(a, LABEL_UNWIND);
    align_label(a, labels, LABEL_RAISE); /* out of the bridge, with the trap in eax */
    x86_op(a, X86_LEA | X86_W, RSI, x86_mem(RSP, BRIDGE_BYTES + 8));
    x86_op(a, X86_MOV_LOAD, RDX, x86_reg(RAX));
    x86_const(a, RAX, (uintptr_t)jit_raise);
    labels[LABEL_UNWIND] = (uint32_t)a->size;
    x86_alu_imm(a, 4, X86_W, x86_reg(RSP), -16);
    add_rsp(a, -(int32_t)sizeof(struct jit_resume));
    for (int i = 0; i < JIT_N_SAVED; i++) store(a, jit_saved_registers[i], RSP, saved_at + 8 * i);
    mov(a, RBX, RSI);
    labels[LABEL_UNWIND_FRAMED] = (uint32_t)a->size;
    mov(a, RDI, R14);
    mov(a, RCX, RSP);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_reg(RAX));
    x86_op(a, X86_TEST, RAX, x86_reg(RAX));
    x86_branch(a, CC_NE, LABEL_LEAVE);
    for (int i = 0; i < JIT_N_SAVED; i++) load(a, jit_saved_registers[i], RSP, saved_at + 8 * i);
    load(a, R14, RSP, offsetof(struct jit_resume, instance));
    load(a, R15, R14, offsetof(struct rt_instance, memory0_base));
    load(a, R11, RSP, offsetof(struct jit_resume, pc));
    load(a, RSP, RSP, offsetof(struct jit_resume, sp));
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_reg(R11));
}

/* All registers of arguments, and rax, are afterwards as they were. */
static void first(struct x86 *a, uint32_t *labels) {
    const int32_t func_at = sizeof(struct jit_regs);
    _Static_assert(sizeof(struct jit_regs) + 8 <= BRIDGE_BYTES, "it has room for the function");
    align_label(a, labels, LABEL_FIRST);
    save_arguments(a);
    labels[LABEL_FIRST_FRAMED] = (uint32_t)a->size;
    store(a, RAX, RSP, func_at);
    mov(a, RDI, RAX);
    mov(a, RSI, R14);
    call_c(a, (uintptr_t)jit_first);
    for (int i = 0; i < JIT_N_INT_ARGS; i++) load(a, jit_int_args[i], RSP, 8 * i);
    for (int i = 0; i < JIT_N_FLOAT_ARGS; i++)
        x86_op(a, X86_MOVUPS_LOAD, XMM0 + i, x86_mem(RSP, 48 + 16 * i));
    load(a, RAX, RSP, func_at);
    add_rsp(a, BRIDGE_BYTES);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_mem(RAX, offsetof(struct rt_func, jit_code)));
}

#define REFUEL_INTS  RAX, RCX, RDX, RBX, RSI, RDI, R8, R9, R10, R11
#define REFUEL_RBX   3 /* its place among them */
#define REFUEL_BYTES (8 * 10 + 16 * 16)

/* Out of a function's midst, all of whose registers stay as they are; or the trap, as from there. */
static void refuel(struct x86 *a, uint32_t *labels) {
    static const uint8_t ints[] = {REFUEL_INTS};
    const int32_t floats_at = 8 * sizeof ints, bytes = REFUEL_BYTES;
    align_label(a, labels, LABEL_REFUEL);
    add_rsp(a, -bytes);
    for (int i = 0; i < (int)sizeof ints; i++) store(a, ints[i], RSP, 8 * i);
    for (int i = 0; i < 16; i++) x86_op(a, X86_MOVUPS_STORE, XMM0 + i, x86_mem(RSP, floats_at + 16 * i));
    mov(a, RDI, R14);
    mov(a, RBX, RSP);
    labels[LABEL_REFUEL_FRAMED] = (uint32_t)a->size;
    x86_alu_imm(a, 4, X86_W, x86_reg(RSP), -16);
    call_c(a, (uintptr_t)jit_refuel);
    mov(a, RSP, RBX);
    x86_alu_imm(a, 4, 0, x86_reg(RAX), 0xFF);                                /* a bool is one byte */
    for (int i = 0; i < (int)sizeof ints; i++) load(a, ints[i], RSP, 8 * i); /* flags stay */
    for (int i = 0; i < 16; i++) x86_op(a, X86_MOVUPS_LOAD, XMM0 + i, x86_mem(RSP, floats_at + 16 * i));
    x86_op(a, X86_LEA | X86_W, RSP, x86_mem(RSP, bytes));
    x86_branch(a, CC_E, LABEL_NO_FUEL);
    x86_bytes(a, 0xC3, 1);
    labels[LABEL_NO_FUEL] = (uint32_t)a->size;
    x86_const(a, RDI, RT_TRAP_OUT_OF_FUEL);
    x86_jump(a, LABEL_COMMON);
}

/* r14 and r15 <- of the instance of rax; a host function sees that of its caller. */
static void enter_instance(struct x86 *a) {
    load(a, R11, RAX, offsetof(struct rt_func, instance));
    x86_op(a, X86_TEST | X86_W, R11, x86_reg(R11));
    x86_op(a, (X86_CMOV + CC_NE) | X86_W, R14, x86_reg(R11));
    load(a, R15, R14, offsetof(struct rt_instance, memory0_base));
}

/* lea reg, [rip + distance to a place behind or in front of it] */
static void lea_here(struct x86 *a, int reg, uint32_t place) {
    uint32_t next = (uint32_t)a->size + 7;
    x86_bytes(a, reg >= 8 ? 0x4C : 0x48, 1);
    x86_bytes(a, 0x8D, 1);
    x86_bytes(a, 5u | (unsigned)(reg & 7) << 3, 1);
    x86_bytes(a, place - next, 4);
}

/* 16 bytes at a time, from the last: r10 = how many bytes. Takes two labels. */
static void copy_down(struct x86 *a, uint32_t *labels, unsigned label, int from, int32_t from_at, int to,
                      int32_t to_at) {
    labels[label] = (uint32_t)a->size;
    x86_op(a, X86_TEST | X86_W, R10, x86_reg(R10));
    x86_branch(a, CC_E, label + 1);
    x86_alu_imm(a, 5, X86_W, x86_reg(R10), 16);
    x86_op(a, X86_MOVUPS_LOAD, XMM15, x86_mem_index(from, R10, 0, from_at));
    x86_op(a, X86_MOVUPS_STORE, XMM15, x86_mem_index(to, R10, 0, to_at));
    x86_jump(a, label);
    labels[label + 1] = (uint32_t)a->size;
}

/* What the callee of a tail call returns to: results behind the first go to where the caller has them. The room stands
 * in the last four bytes. */
static void tail_back(struct x86 *a, uint32_t *labels, unsigned tail_class) {
    const int32_t room = (int32_t)jit_tail_room(tail_class);
    size_t end = a->size + JIT_TAIL_STRIDE;
    load(a, R14, RSP, room + 8);
    load(a, R15, R14, offsetof(struct rt_instance, memory0_base));
    load(a, R10, RSP, room + 16);
    copy_down(a, labels, LABEL_TAILS + TAIL_LABELS * tail_class + TAIL_BACK, RSP, 0, RSP,
              room + JIT_TAIL_FRAME + 8);
    add_rsp(a, room + JIT_TAIL_FRAME);
    x86_bytes(a, 0xC3, 1);
    while (!a->failed && a->size < end - 4) x86_bytes(a, 0xCC, 1);
    x86_bytes(a, (uint32_t)room, 4);
}

/* rax = the function, r11 = where its caller's return address stands, r10 = bytes of arguments, which begin at rsp, and in
 * the upper half of results behind the first. rsp is at least the room and JIT_TAIL_BYTES below r11.
 *
 *   caller's return address  <- r11
 *   bytes of results
 *   instance of the caller
 *   (8 bytes)
 *   room: arguments of the callee, later its results
 *   address of tail_back     <- rsp of the callee
 *
 * When the return address is that of such a frame, it is used again if it has the room; or a larger one takes its place,
 * whose upper end, and all but the room, is the same. */
static void tail(struct x86 *a, uint32_t *labels, unsigned tail_class) {
    const int32_t room = (int32_t)jit_tail_room(tail_class);
    const uint32_t backs = labels[LABEL_TAIL_BACKS], own = LABEL_TAILS + TAIL_LABELS * tail_class;
    align_label(a, labels, own + TAIL_ENTER);
    push(a, RBX);
    push(a, RCX);
    load(a, RBX, R11, 0);
    lea_here(a, RCX, backs);
    x86_op(a, X86_SUB | X86_W, RBX, x86_reg(RCX));
    x86_alu_imm(a, 7, X86_W, x86_reg(RBX), JIT_TAIL_CLASSES * JIT_TAIL_STRIDE);
    x86_branch(a, CC_AE, own + TAIL_FRESH);
    x86_op(a, X86_MOV_LOAD, RCX, x86_mem_index(RCX, RBX, 0, JIT_TAIL_STRIDE - 4));
    x86_alu_imm(a, 7, 0, x86_reg(RCX), room);
    x86_branch(a, CC_AE, own + TAIL_AGAIN);
    x86_op(a, X86_LEA | X86_W, R11, x86_mem_index(R11, RCX, 0, 8 + JIT_TAIL_FRAME));
    x86_jump(a, own + TAIL_BUILD);
    labels[own + TAIL_AGAIN] = (uint32_t)a->size;
    x86_op(a, X86_LEA | X86_W, RBX, x86_mem(R11, 8));
    load(a, RCX, R11, 0);
    x86_jump(a, own + TAIL_FILL);
    labels[own + TAIL_FRESH] = (uint32_t)a->size;
    store(a, R14, R11, -16);
    mov(a, RCX, R10);
    x86_shift_imm(a, 5, X86_W, RCX, 32);
    store(a, RCX, R11, -8);
    labels[own + TAIL_BUILD] = (uint32_t)a->size;
    x86_op(a, X86_LEA | X86_W, RBX, x86_mem(R11, -JIT_TAIL_FRAME - room));
    lea_here(a, RCX, backs + JIT_TAIL_STRIDE * tail_class);
    labels[own + TAIL_FILL] = (uint32_t)a->size; /* rbx = the room, rcx = where the callee returns to */
    x86_op(a, X86_MOV_LOAD, R10, x86_reg(R10));
    copy_down(a, labels, own + TAIL_COPY, RSP, 16, RBX, 0);
    x86_op(a, X86_LEA | X86_W, R11, x86_mem(RBX, -8));
    store(a, RCX, R11, 0);
    pop(a, RCX);
    pop(a, RBX);
    mov(a, RSP, R11);
    enter_instance(a);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_mem(RAX, offsetof(struct rt_func, jit_code)));
}

static void tails(struct x86 *a, uint32_t *labels) {
    x86_bytes(a, 0xCC, 1); /* the byte in front of what is returned to belongs to it (tell_thunks) */
    align_label(a, labels, LABEL_TAIL_BACKS);
    for (unsigned i = 0; i < JIT_TAIL_CLASSES; i++) tail_back(a, labels, i);
    for (unsigned i = 0; i < JIT_TAIL_CLASSES; i++) tail(a, labels, i);
}

/* ---- for debuggers ---- */

/* From `label` on: the frame's end is `before` above rsp, and behind `framed` it is `distance` above `reg`. */
struct framed {
    const char *name;
    unsigned label, next, framed;
    uint32_t before, distance;
    uint8_t reg;
};

static void tell_pieces(const struct rt_config *config, const uint8_t *base, const uint32_t *labels) {
    static const struct framed pieces[] = {
        {"trap", LABEL_TRAPS, LABEL_LEAVE, LABEL_COMMON_FRAMED, 8, 0, RBX},
        {"bridge", LABEL_BRIDGE, LABEL_THROW, LABEL_BRIDGE_FRAMED, 8, BRIDGE_BYTES + 8, RSP},
        {"throw", LABEL_THROW, LABEL_RAISE, LABEL_RAISE, 8, 8, RSP},
        {"raise", LABEL_RAISE, LABEL_FIRST, LABEL_UNWIND_FRAMED, BRIDGE_BYTES + 8, 0, RBX},
        {"first", LABEL_FIRST, LABEL_TAIL_BACKS, LABEL_FIRST_FRAMED, 8, BRIDGE_BYTES + 8, RSP},
        {"refuel", LABEL_REFUEL, LABEL_NO_FUEL, LABEL_REFUEL_FRAMED, 8, REFUEL_BYTES + 8, RBX},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const struct framed *p = pieces + i;
        const uint32_t from = labels[p->label];
        struct jit_unwind unwind = {0};
        if (p->before != 8) jit_unwind_end(&unwind, RSP, p->before);
        jit_unwind_at(&unwind, labels[p->framed] - from);
        jit_unwind_end(&unwind, p->reg, p->distance);
        if (p->label == LABEL_REFUEL)
            jit_unwind_kept(&unwind, RBX, 8 + REFUEL_BYTES - 8 * REFUEL_RBX);
        else if (p->reg == RBX)
            jit_unwind_lost(&unwind, RBX);
        jit_tell_thunk(config, p->name, base + from, labels[p->next] - from, &unwind);
    }
}

/* Debuggers look for a frame's code one byte in front of where it is returned to. */
static void tell_thunks(const struct rt_config *config, const uint8_t *base, const uint32_t *labels) {
    if (!config->code_placed) return;
    tell_pieces(config, base, labels);
    for (unsigned i = 0; i < JIT_TAIL_CLASSES; i++) {
        struct jit_unwind unwind = {0};
        jit_unwind_end(&unwind, RSP, jit_tail_room(i) + JIT_TAIL_FRAME + 8);
        jit_unwind_kept(&unwind, R14, JIT_TAIL_FRAME);
        jit_tell_thunk(config, "tail", base + labels[LABEL_TAIL_BACKS] + (size_t)i * JIT_TAIL_STRIDE - 1,
                       JIT_TAIL_STRIDE, &unwind);
    }
}

enum atoll_status jit_thunks_make(struct jit_engine *engine, const struct rt_config *config) {
    struct x86 a;
    uint32_t labels[N_LABELS] = {0};
    x86_init(&a, engine->alloc);
    trap_thunks(&a, labels);
    bridge(&a, labels);
    unwind(&a, labels);
    first(&a, labels);
    tails(&a, labels);
    refuel(&a, labels);
    enum atoll_status status = ATOLL_E_NOMEM;
    uint8_t *at = x86_finish(&a, labels) ? jit_memory_take(&engine->memory, a.size) : NULL;
    if (at) status = jit_memory_write(&engine->memory, at, a.bytes, a.size);
    engine->traps = at;
    engine->leave = at + labels[LABEL_LEAVE];
    engine->bridge = at + labels[LABEL_BRIDGE];
    engine->first = at + labels[LABEL_FIRST];
    engine->throw = at + labels[LABEL_THROW];
    engine->throw_ref = at + labels[LABEL_THROW_REF];
    engine->refuel = at + labels[LABEL_REFUEL];
    engine->tail_backs = at + labels[LABEL_TAIL_BACKS];
    for (unsigned i = 0; i < JIT_TAIL_CLASSES; i++)
        engine->tails[i] = at + labels[LABEL_TAILS + TAIL_LABELS * i + TAIL_ENTER];
    union {
        const uint8_t *code;
        void (*function)(enum rt_trap, struct rt_instance *) __attribute__((noreturn));
    } from_host = {at + labels[LABEL_FROM_HOST]};
    engine->leave_from_host = from_host.function;
    x86_fini(&a);
    if (!status) tell_thunks(config, at, labels);
    return status;
}
