/* sysvm/cpu/soft/branch.c: jumps, calls and returns within a code segment; the stack. */
#include "sysvm/cpu/soft/operand.h"

/* ---- the stack ---- */

bool soft_push(struct soft_cpu *cpu, unsigned n_bytes, uint64_t value) {
    uint64_t to = soft_stack_pointer(cpu, -(int64_t)n_bytes), linear;
    if (!soft_linear_at(cpu, VM_SS, to, n_bytes, true, &linear) || !soft_write(cpu, linear, &value, n_bytes))
        return false;
    soft_stack_set(cpu, to);
    return true;
}

static bool peek(struct soft_cpu *cpu, int64_t offset, unsigned n_bytes, uint64_t *out) {
    uint64_t linear, value = 0;
    if (!soft_linear_at(cpu, VM_SS, soft_stack_pointer(cpu, offset), n_bytes, false, &linear) ||
        !soft_read(cpu, linear, &value, n_bytes))
        return false;
    *out = value;
    return true;
}

bool soft_pop(struct soft_cpu *cpu, unsigned n_bytes, uint64_t *out) {
    if (!peek(cpu, 0, n_bytes, out)) return false;
    soft_stack_set(cpu, soft_stack_pointer(cpu, n_bytes));
    return true;
}

enum soft_step soft_push_operand(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operand_bytes;
    uint64_t value;
    if (!soft_get(cpu, insn, 0, n_bytes, &value)) return SOFT_FAULT;
    return soft_push(cpu, n_bytes, value) ? SOFT_NEXT : SOFT_FAULT;
}

/* An address of the destination that uses the stack pointer is formed with what it is afterwards. */
enum soft_step soft_pop_operand(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operand_bytes;
    const uint64_t before = cpu->gpr[VM_RSP];
    uint64_t value;
    if (!soft_pop(cpu, n_bytes, &value)) return SOFT_FAULT;
    if (soft_put(cpu, insn, 0, n_bytes, value)) return SOFT_NEXT;
    cpu->gpr[VM_RSP] = before;
    return SOFT_FAULT;
}

/* rax rcx rdx rbx rsp rbp rsi rdi, downwards; rsp as it was before. */
static enum soft_step push_all(struct soft_cpu *cpu, unsigned n_bytes) {
    const uint64_t before = cpu->gpr[VM_RSP];
    for (unsigned i = VM_RAX; i <= VM_RDI; i++) {
        if (soft_push(cpu, n_bytes, i == VM_RSP ? before : cpu->gpr[i])) continue;
        cpu->gpr[VM_RSP] = before;
        return SOFT_FAULT;
    }
    return SOFT_NEXT;
}
static enum soft_step pop_all(struct soft_cpu *cpu, unsigned n_bytes) {
    uint64_t values[8];
    for (unsigned i = 0; i < 8; i++)
        if (!peek(cpu, (int64_t)(i * n_bytes), n_bytes, values + 7 - i)) return SOFT_FAULT;
    soft_stack_set(cpu, soft_stack_pointer(cpu, (int64_t)(8 * n_bytes)));
    for (unsigned i = VM_RAX; i <= VM_RDI; i++)
        if (i != VM_RSP) soft_gpr_set(cpu, i, n_bytes, values[i]);
    return SOFT_NEXT;
}
enum soft_step soft_pusha(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return push_all(cpu, 2);
}
enum soft_step soft_pushad(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return push_all(cpu, 4);
}
enum soft_step soft_popa(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return pop_all(cpu, 2);
}
enum soft_step soft_popad(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return pop_all(cpu, 4);
}

/* ---- frames ---- */

/* The links of outer frames, copied below the new one's. */
static bool push_links(struct soft_cpu *cpu, unsigned n_bytes, unsigned level, uint64_t frame) {
    const unsigned width = soft_stack_bytes(cpu);
    for (unsigned i = 1; i < level; i++) {
        uint64_t linear, value = 0;
        uint64_t from = soft_cut(cpu->gpr[VM_RBP] - (uint64_t)i * n_bytes, width);
        if (!soft_linear_at(cpu, VM_SS, from, n_bytes, false, &linear) ||
            !soft_read(cpu, linear, &value, n_bytes) || !soft_push(cpu, n_bytes, value))
            return false;
    }
    return soft_push(cpu, n_bytes, frame);
}

enum soft_step soft_enter_frame(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const unsigned n_bytes = insn->operand_bytes, level = insn->immediate >> 16 & 31;
    const uint64_t size = insn->immediate & 0xFFFF, before = cpu->gpr[VM_RSP];
    bool done = soft_push(cpu, n_bytes, cpu->gpr[VM_RBP]);
    const uint64_t frame = soft_stack_pointer(cpu, 0);
    if (done && level) done = push_links(cpu, n_bytes, level, frame);
    const uint64_t top = soft_stack_pointer(cpu, -(int64_t)size);
    uint64_t linear;
    /* The manual: the place where the stack ends up has to be writable. */
    if (done && soft_linear_at(cpu, VM_SS, top, n_bytes, true, &linear) &&
        (soft_writable(cpu, linear, n_bytes) || cpu->fault.vector == SOFT_NO_FAULT)) {
        soft_gpr_set(cpu, VM_RBP, n_bytes, frame);
        soft_stack_set(cpu, top);
        return SOFT_NEXT;
    }
    cpu->gpr[VM_RSP] = before;
    return SOFT_FAULT;
}

enum soft_step soft_leave_frame(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const uint64_t before = cpu->gpr[VM_RSP];
    uint64_t value;
    soft_stack_set(cpu, cpu->gpr[VM_RBP]);
    if (!soft_pop(cpu, insn->operand_bytes, &value)) {
        cpu->gpr[VM_RSP] = before;
        return SOFT_FAULT;
    }
    soft_gpr_set(cpu, VM_RBP, insn->operand_bytes, value);
    return SOFT_NEXT;
}

/* ---- branches ---- */

/* Whether code may go on at `target`: in 64-bit mode a canonical address, else within the segment. */
static bool is_target(const struct soft_cpu *cpu, uint64_t target) {
    if (cpu->mode == SOFT_LONG64) return (uint64_t)((int64_t)(target << 16) >> 16) == target;
    return target <= cpu->segments[VM_CS].limit;
}

SOFT_INLINE uint64_t relative(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    return soft_cut(cpu->rip + insn->length + insn->immediate, insn->operand_bytes);
}

SOFT_INLINE enum soft_step go(struct soft_cpu *cpu, uint64_t target) {
    if (!is_target(cpu, target)) return soft_raise_gp(cpu, 0);
    cpu->rip = target;
    return SOFT_JUMPED;
}

/* jmp and call: a relative operand, or r/m. */
SOFT_INLINE bool target_of(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *out) {
    if (insn->operands[0].kind != SOFT_IMM) return soft_get(cpu, insn, 0, insn->operand_bytes, out);
    *out = relative(cpu, insn);
    return true;
}

enum soft_step soft_jmp(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t target;
    return target_of(cpu, insn, &target) ? go(cpu, target) : SOFT_FAULT;
}

/* A return address is written in front of the target's fault, which leaves the stack pointer as it was. */
static enum soft_step refuse_call(struct soft_cpu *cpu, unsigned n_bytes, uint64_t back) {
    uint64_t linear;
    if (!soft_linear_at(cpu, VM_SS, soft_stack_pointer(cpu, -(int64_t)n_bytes), n_bytes, true, &linear) ||
        !soft_write(cpu, linear, &back, n_bytes))
        return SOFT_FAULT;
    return soft_raise_gp(cpu, 0);
}

enum soft_step soft_call(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t target;
    if (!target_of(cpu, insn, &target)) return SOFT_FAULT;
    if (!is_target(cpu, target)) return refuse_call(cpu, insn->operand_bytes, cpu->rip + insn->length);
    if (!soft_push(cpu, insn->operand_bytes, cpu->rip + insn->length)) return SOFT_FAULT;
    cpu->rip = target;
    return SOFT_JUMPED;
}

enum soft_step soft_ret(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t target;
    if (!peek(cpu, 0, insn->operand_bytes, &target)) return SOFT_FAULT;
    if (!is_target(cpu, target)) return soft_raise_gp(cpu, 0);
    uint64_t arguments = insn->n_operands ? insn->immediate & 0xFFFF : 0;
    soft_stack_set(cpu, soft_stack_pointer(cpu, (int64_t)(insn->operand_bytes + arguments)));
    cpu->rip = target;
    return SOFT_JUMPED;
}

#define CONDITION(name, code)                                                                                \
    enum soft_step soft_j##name(struct soft_cpu *cpu, const struct soft_insn *insn) {                        \
        if (!soft_condition(cpu->rflags, code)) return SOFT_NEXT;                                            \
        return go(cpu, relative(cpu, insn));                                                                 \
    }
SOFT_CONDITIONS(CONDITION)

/* loop and jcxz count in the width of addresses. */
SOFT_INLINE enum soft_step loop_while(struct soft_cpu *cpu, const struct soft_insn *insn, bool condition) {
    uint64_t count = soft_cut(cpu->gpr[VM_RCX] - 1, insn->address_bytes), target = relative(cpu, insn);
    bool jumps = count && condition;
    if (jumps && !is_target(cpu, target)) return soft_raise_gp(cpu, 0);
    soft_gpr_set(cpu, VM_RCX, insn->address_bytes, count);
    if (!jumps) return SOFT_NEXT;
    cpu->rip = target;
    return SOFT_JUMPED;
}
enum soft_step soft_loop(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return loop_while(cpu, insn, true);
}
enum soft_step soft_loope(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return loop_while(cpu, insn, cpu->rflags & SOFT_ZF);
}
enum soft_step soft_loopne(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return loop_while(cpu, insn, !(cpu->rflags & SOFT_ZF));
}
enum soft_step soft_jcxz(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (soft_gpr_get(cpu, VM_RCX, insn->address_bytes)) return SOFT_NEXT;
    return go(cpu, relative(cpu, insn));
}

/* ---- bound ---- */

/* Of 16 and 32 bits, signed: lower, upper bound in memory. */
enum soft_step soft_bound(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint8_t bounds[8];
    uint64_t linear, lower = 0, upper = 0;
    if (!soft_linear(cpu, insn, &linear, 2 * n_bytes, false) || !soft_read(cpu, linear, bounds, 2 * n_bytes))
        return SOFT_FAULT;
    memcpy(&lower, bounds, n_bytes);
    memcpy(&upper, bounds + n_bytes, n_bytes);
    int64_t value = soft_sign_extend(soft_register_get(cpu, insn->operands), n_bytes);
    if (value < soft_sign_extend(lower, n_bytes) || value > soft_sign_extend(upper, n_bytes))
        return soft_raise(cpu, SOFT_BR, false, 0);
    return SOFT_NEXT;
}
