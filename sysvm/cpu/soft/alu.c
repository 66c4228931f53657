/* sysvm/cpu/soft/alu.c: addition, subtraction, logic. The host's own instructions compute, so that every flag is what
 * hardware gives. */
#include "sysvm/cpu/soft/operand.h"

/* ---- what is computed ---- */

#define OPERATION(id, before, name)                                                                          \
    SOFT_INLINE uint64_t op_##id(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags) {         \
        SOFT_WIDTHS(before, name, old, source, flags);                                                       \
        return old;                                                                                          \
    }
OPERATION(add, "", "add")
OPERATION(or, "", "or")
OPERATION(adc, SOFT_CARRY_IN, "adc")
OPERATION(sbb, SOFT_CARRY_IN, "sbb")
OPERATION(and, "", "and")
OPERATION(sub, "", "sub")
OPERATION(xor, "", "xor")

/* inc and dec leave CF alone. */
SOFT_INLINE uint64_t op_inc(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags) {
    uint64_t carry = *flags & SOFT_CF;
    (void)source;
    old = op_add(old, 1, n_bytes, flags);
    *flags = (*flags & ~(uint64_t)SOFT_CF) | carry;
    return old;
}
SOFT_INLINE uint64_t op_dec(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags) {
    uint64_t carry = *flags & SOFT_CF;
    (void)source;
    old = op_sub(old, 1, n_bytes, flags);
    *flags = (*flags & ~(uint64_t)SOFT_CF) | carry;
    return old;
}
SOFT_INLINE uint64_t op_neg(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags) {
    (void)source;
    return op_sub(0, old, n_bytes, flags);
}
SOFT_INLINE uint64_t op_not(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags) {
    (void)source;
    (void)flags;
    return soft_cut(~old, n_bytes);
}

/* ---- handlers ---- */

/* The second operand is read first: it may be memory where the first is a register. */
#define BINARY(id)                                                                                           \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        uint64_t source;                                                                                     \
        unsigned n_bytes = insn->operands[0].n_bytes;                                                        \
        if (!soft_get(cpu, insn, 1, n_bytes, &source)) return SOFT_FAULT;                                    \
        return soft_modify(cpu, insn, n_bytes, op_##id, source);                                             \
    }
BINARY(add)
BINARY(or)
BINARY(adc)
BINARY(sbb)
BINARY(and)
BINARY(sub)
BINARY(xor)

#define UNARY(id)                                                                                            \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        return soft_modify(cpu, insn, insn->operands[0].n_bytes, op_##id, 0);                                \
    }
UNARY(inc)
UNARY(dec)
UNARY(neg)

enum soft_step soft_not(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return soft_modify(cpu, insn, insn->operands[0].n_bytes, op_not, 0);
}

/* cmp, test: the flags of an operation whose result nobody keeps. */
#define COMPARE(id, operation)                                                                               \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        uint64_t left, right;                                                                                \
        unsigned n_bytes = insn->operands[0].n_bytes;                                                        \
        if (!soft_get(cpu, insn, 0, n_bytes, &left) || !soft_get(cpu, insn, 1, n_bytes, &right))             \
            return SOFT_FAULT;                                                                               \
        operation(left, right, n_bytes, &cpu->rflags);                                                       \
        return SOFT_NEXT;                                                                                    \
    }
COMPARE(cmp, op_sub)
COMPARE(test, op_and)

/* ---- exchanges ---- */

SOFT_INLINE uint64_t op_take(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags) {
    (void)old;
    (void)n_bytes;
    (void)flags;
    return source;
}

/* Destination through `operation` with the register operand, which becomes the destination's old value. */
SOFT_INLINE enum soft_step exchange(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned memory,
                                    bool atomically, soft_operation *operation) {
    const struct soft_operand *to = insn->operands + memory, *with = insn->operands + !memory;
    unsigned n_bytes = to->n_bytes;
    uint64_t flags = cpu->rflags, old, linear, source = soft_register_get(cpu, with);
    if (to->kind == SOFT_MEM) {
        if (!soft_linear(cpu, insn, &linear, n_bytes, true) ||
            !soft_modify_at(cpu, linear, n_bytes, atomically, operation, source, &flags, &old))
            return SOFT_FAULT;
        soft_register_set(cpu, with, old);
    } else {
        old = soft_register_get(cpu, to);
        uint64_t value = operation(old, source, n_bytes, &flags);
        soft_register_set(cpu, with, old);
        soft_register_set(cpu, to, value);
    }
    cpu->rflags = flags;
    return SOFT_NEXT;
}

/* With memory it is atomic, locked or not. */
enum soft_step soft_xchg(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return exchange(cpu, insn, insn->operands[1].kind == SOFT_MEM, true, op_take);
}
enum soft_step soft_xadd(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return exchange(cpu, insn, 0, insn->lock, op_add);
}

/* ---- the commonest forms again, with all that decoding knows as constants ---- */

enum { FROM_REGISTER, FROM_IMMEDIATE, FROM_MEMORY, N_SOURCES };

SOFT_INLINE bool source_of(struct soft_cpu *cpu, const struct soft_insn *insn, int from, unsigned n_bytes,
                           uint64_t *out) {
    if (from == FROM_MEMORY) return soft_memory_get(cpu, insn, n_bytes, out);
    *out = soft_cut(from == FROM_IMMEDIATE ? insn->immediate : cpu->gpr[insn->operands[1].reg], n_bytes);
    return true;
}

/* Destination: a register of 4 or 8 bytes. */
#define FORM(id, operation, keeps, from, n_bytes)                                                            \
    static enum soft_step id##_##from##_##n_bytes(struct soft_cpu *cpu, const struct soft_insn *insn) {      \
        uint64_t source, *to = cpu->gpr + insn->operands[0].reg;                                             \
        if (!source_of(cpu, insn, from, n_bytes, &source)) return SOFT_FAULT;                                \
        uint64_t value = operation(soft_cut(*to, n_bytes), source, n_bytes, &cpu->rflags);                   \
        if (keeps) *to = value;                                                                              \
        return SOFT_NEXT;                                                                                    \
    }
#define FORMS(id, operation, keeps)                                                                          \
    FORM(id, operation, keeps, FROM_REGISTER, 4)                                                             \
    FORM(id, operation, keeps, FROM_REGISTER, 8)                                                             \
    FORM(id, operation, keeps, FROM_IMMEDIATE, 4)                                                            \
    FORM(id, operation, keeps, FROM_IMMEDIATE, 8)                                                            \
    FORM(id, operation, keeps, FROM_MEMORY, 4)                                                               \
    FORM(id, operation, keeps, FROM_MEMORY, 8)
#define ALL_FORMS(X)                                                                                         \
    X(add, op_add, true)                                                                                     \
    X(or, op_or, true)                                                                                       \
    X(and, op_and, true)                                                                                     \
    X(sub, op_sub, true) X(xor, op_xor, true) X(cmp, op_sub, false) X(test, op_and, false)
ALL_FORMS(FORMS)

soft_handler *soft_alu_form(const struct soft_insn *insn) {
#define ROW(id, operation, keeps)                                                                            \
    {soft_##id,                                                                                              \
     {{id##_FROM_REGISTER_4, id##_FROM_REGISTER_8},                                                          \
      {id##_FROM_IMMEDIATE_4, id##_FROM_IMMEDIATE_8},                                                        \
      {id##_FROM_MEMORY_4, id##_FROM_MEMORY_8}}},
    static const struct { soft_handler *general, *forms[N_SOURCES][2]; } rows[] = {ALL_FORMS(ROW)};
    const struct soft_operand *to = insn->operands, *from = insn->operands + 1;
    if (to->kind != SOFT_GPR || (to->n_bytes != 4 && to->n_bytes != 8)) return insn->run;
    if (from->kind != SOFT_GPR && from->kind != SOFT_IMM && from->kind != SOFT_MEM) return insn->run;
    int source = from->kind == SOFT_GPR   ? FROM_REGISTER
                 : from->kind == SOFT_IMM ? FROM_IMMEDIATE
                                          : FROM_MEMORY;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].general == insn->run) return rows[i].forms[source][to->n_bytes == 8];
    return insn->run;
}
