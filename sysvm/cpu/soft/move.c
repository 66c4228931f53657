/* sysvm/cpu/soft/move.c: moving and converting values; exchanges that compare; nops, hints and random numbers. */
#include "sysvm/cpu/soft/operand.h"
#include "sysvm/cpu/soft/soft.h"

/* ---- moves ---- */

enum soft_step soft_mov(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t value;
    if (!soft_get(cpu, insn, 1, n_bytes, &value)) return SOFT_FAULT;
    return soft_put(cpu, insn, 0, n_bytes, value) ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_movzx(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t value;
    if (!soft_get(cpu, insn, 1, insn->operands[1].n_bytes, &value)) return SOFT_FAULT;
    soft_register_set(cpu, insn->operands, value);
    return SOFT_NEXT;
}
/* movsx, movsxd */
enum soft_step soft_movsx(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[1].n_bytes;
    uint64_t value;
    if (n_bytes > insn->operands[0].n_bytes) n_bytes = insn->operands[0].n_bytes; /* movsxd r16, r/m32 */
    if (!soft_get(cpu, insn, 1, n_bytes, &value)) return SOFT_FAULT;
    soft_register_set(cpu, insn->operands, (uint64_t)soft_sign_extend(value, n_bytes));
    return SOFT_NEXT;
}

/* The commonest forms, with all that decoding knows as constants. */
#define MOVE_FORMS(n)                                                                                        \
    static enum soft_step copy_##n(struct soft_cpu *cpu, const struct soft_insn *insn) {                     \
        cpu->gpr[insn->operands[0].reg] = soft_cut(cpu->gpr[insn->operands[1].reg], n);                      \
        return SOFT_NEXT;                                                                                    \
    }                                                                                                        \
    static enum soft_step set_##n(struct soft_cpu *cpu, const struct soft_insn *insn) {                      \
        cpu->gpr[insn->operands[0].reg] = soft_cut(insn->immediate, n);                                      \
        return SOFT_NEXT;                                                                                    \
    }                                                                                                        \
    static enum soft_step load_##n(struct soft_cpu *cpu, const struct soft_insn *insn) {                     \
        return soft_memory_get(cpu, insn, n, cpu->gpr + insn->operands[0].reg) ? SOFT_NEXT : SOFT_FAULT;     \
    }                                                                                                        \
    static enum soft_step store_##n(struct soft_cpu *cpu, const struct soft_insn *insn) {                    \
        return soft_memory_set(cpu, insn, n, cpu->gpr[insn->operands[1].reg]) ? SOFT_NEXT : SOFT_FAULT;      \
    }
MOVE_FORMS(4)
MOVE_FORMS(8)

/* movzx to 4 or 8 bytes is a load of 1 or 2. */
#define LOAD_SMALL(n)                                                                                        \
    static enum soft_step load_##n(struct soft_cpu *cpu, const struct soft_insn *insn) {                     \
        return soft_memory_get(cpu, insn, n, cpu->gpr + insn->operands[0].reg) ? SOFT_NEXT : SOFT_FAULT;     \
    }
LOAD_SMALL(1)
LOAD_SMALL(2)

static soft_handler *mov_form(const struct soft_insn *insn) {
    const struct soft_operand *to = insn->operands, *from = insn->operands + 1;
    bool wide = to->n_bytes == 8;
    if (to->n_bytes != 4 && !wide) return insn->run;
    if (to->kind == SOFT_MEM && from->kind == SOFT_GPR) return wide ? store_8 : store_4;
    if (to->kind != SOFT_GPR) return insn->run;
    switch (from->kind) {
    case SOFT_GPR: return wide ? copy_8 : copy_4;
    case SOFT_IMM: return wide ? set_8 : set_4;
    case SOFT_MEM: return wide ? load_8 : load_4;
    default: return insn->run;
    }
}

soft_handler *soft_move_form(const struct soft_insn *insn) {
    if (insn->run == soft_mov) return mov_form(insn);
    bool small_load =
        insn->run == soft_movzx && insn->operands[1].kind == SOFT_MEM && insn->operands[0].n_bytes >= 4;
    if (!small_load) return insn->run;
    return insn->operands[1].n_bytes == 1 ? load_1 : load_2;
}

static uint64_t swap_bytes(uint64_t value, unsigned n_bytes) {
    return __builtin_bswap64(value) >> (64 - n_bytes * 8);
}

enum soft_step soft_movbe(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t value;
    if (!soft_get(cpu, insn, 1, n_bytes, &value)) return SOFT_FAULT;
    return soft_put(cpu, insn, 0, n_bytes, swap_bytes(value, n_bytes)) ? SOFT_NEXT : SOFT_FAULT;
}
/* Of 16 bits it is undefined; hardware clears them. */
enum soft_step soft_bswap(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t value = soft_register_get(cpu, insn->operands);
    soft_register_set(cpu, insn->operands, n_bytes == 2 ? 0 : swap_bytes(value, n_bytes));
    return SOFT_NEXT;
}

enum soft_step soft_lea(struct soft_cpu *cpu, const struct soft_insn *insn) {
    soft_register_set(cpu, insn->operands, soft_effective(cpu, insn));
    return SOFT_NEXT;
}

/* al = [rbx + al] */
enum soft_step soft_xlat(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t offset = soft_cut(cpu->gpr[VM_RBX] + (cpu->gpr[VM_RAX] & 0xFF), insn->address_bytes), linear;
    uint8_t value;
    if (!soft_linear_at(cpu, insn->segment, offset, 1, false, &linear) || !soft_read(cpu, linear, &value, 1))
        return SOFT_FAULT;
    soft_gpr_set(cpu, VM_RAX, 1, value);
    return SOFT_NEXT;
}

/* ---- conversions in the accumulator ---- */

#define EXTEND(id, from, to)                                                                                 \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        (void)insn;                                                                                          \
        soft_gpr_set(cpu, VM_RAX, to, (uint64_t)soft_sign_extend(cpu->gpr[VM_RAX], from));                   \
        return SOFT_NEXT;                                                                                    \
    }
EXTEND(cbw, 1, 2)
EXTEND(cwde, 2, 4)
EXTEND(cdqe, 4, 8)
#define SPREAD(id, n_bytes)                                                                                  \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        (void)insn;                                                                                          \
        bool negative = soft_sign_extend(cpu->gpr[VM_RAX], n_bytes) < 0;                                     \
        soft_gpr_set(cpu, VM_RDX, n_bytes, negative ? UINT64_MAX : 0);                                       \
        return SOFT_NEXT;                                                                                    \
    }
SPREAD(cwd, 2)
SPREAD(cdq, 4)
SPREAD(cqo, 8)

/* ---- flags ---- */

#define FLAG(id, expression)                                                                                 \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        (void)insn;                                                                                          \
        cpu->rflags = (expression);                                                                          \
        return SOFT_NEXT;                                                                                    \
    }
FLAG(clc, cpu->rflags & ~(uint64_t)SOFT_CF)
FLAG(stc, cpu->rflags | SOFT_CF)
FLAG(cmc, cpu->rflags ^ SOFT_CF)
FLAG(cld, cpu->rflags & ~(uint64_t)SOFT_DF)
FLAG(std, cpu->rflags | SOFT_DF)
#define IN_AH (SOFT_SF | SOFT_ZF | SOFT_AF | SOFT_PF | SOFT_CF)
FLAG(sahf, (cpu->rflags & ~(uint64_t)IN_AH) | (cpu->gpr[VM_RAX] >> 8 & IN_AH))

enum soft_step soft_lahf(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    uint64_t ah = (cpu->rflags & IN_AH) | SOFT_FLAG_ONE;
    cpu->gpr[VM_RAX] = (cpu->gpr[VM_RAX] & ~UINT64_C(0xFF00)) | ah << 8;
    return SOFT_NEXT;
}
enum soft_step soft_salc(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    soft_gpr_set(cpu, VM_RAX, 1, cpu->rflags & SOFT_CF ? 0xFF : 0);
    return SOFT_NEXT;
}

/* ---- setcc, cmovcc ---- */

/* cmovcc reads its source, and clears the upper half, whatever the condition is. */
#define CONDITION(name, code)                                                                                \
    enum soft_step soft_set##name(struct soft_cpu *cpu, const struct soft_insn *insn) {                      \
        return soft_put(cpu, insn, 0, 1, soft_condition(cpu->rflags, code)) ? SOFT_NEXT : SOFT_FAULT;        \
    }                                                                                                        \
    enum soft_step soft_cmov##name(struct soft_cpu *cpu, const struct soft_insn *insn) {                     \
        const struct soft_operand *to = insn->operands;                                                      \
        uint64_t value;                                                                                      \
        if (!soft_get(cpu, insn, 1, to->n_bytes, &value)) return SOFT_FAULT;                                 \
        if (!soft_condition(cpu->rflags, code)) value = soft_register_get(cpu, to);                          \
        soft_register_set(cpu, to, value);                                                                   \
        return SOFT_NEXT;                                                                                    \
    }
SOFT_CONDITIONS(CONDITION)

/* ---- compare and exchange ---- */

/* The flags of accumulator - old; where equal the register goes to the destination, else the old value to the
 * accumulator. The destination is written in any case. */
SOFT_INLINE void compare(struct soft_cpu *cpu, uint64_t accumulator, uint64_t old, unsigned n_bytes) {
    uint64_t left = accumulator;
    SOFT_WIDTHS("", "sub", left, old, &cpu->rflags);
}

static enum soft_step exchange_in_memory(struct soft_cpu *cpu, const struct soft_insn *insn,
                                         unsigned n_bytes) {
    uint64_t linear, old = 0, accumulator = soft_gpr_get(cpu, VM_RAX, n_bytes);
    uint64_t with = soft_register_get(cpu, insn->operands + 1);
    if (!soft_linear(cpu, insn, &linear, n_bytes, true)) return SOFT_FAULT;
    void *host = soft_writable(cpu, linear, n_bytes);
    if (host) {
        old = accumulator;
        soft_host_exchange(host, n_bytes, &old, with);
    } else {
        if (cpu->fault.vector != SOFT_NO_FAULT) return SOFT_FAULT;
        soft_split_lock(cpu);
        bool done = soft_read(cpu, linear, &old, n_bytes);
        const uint64_t *value = old == accumulator ? &with : &old;
        done = done && soft_write(cpu, linear, value, n_bytes);
        soft_split_unlock(cpu);
        if (!done) return SOFT_FAULT;
    }
    compare(cpu, accumulator, old, n_bytes);
    if (old != accumulator) soft_gpr_set(cpu, VM_RAX, n_bytes, old);
    return SOFT_NEXT;
}

enum soft_step soft_cmpxchg(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const struct soft_operand *to = insn->operands;
    unsigned n_bytes = to->n_bytes;
    if (to->kind == SOFT_MEM) return exchange_in_memory(cpu, insn, n_bytes);
    uint64_t old = soft_register_get(cpu, to), accumulator = soft_gpr_get(cpu, VM_RAX, n_bytes);
    compare(cpu, accumulator, old, n_bytes);
    if (old == accumulator)
        soft_register_set(cpu, to, soft_register_get(cpu, insn->operands + 1));
    else
        soft_gpr_set(cpu, VM_RAX, n_bytes, old);
    return SOFT_NEXT;
}

/* cmpxchg8b and cmpxchg16b: rdx:rax against the destination, rcx:rbx into it. Only ZF changes. */
struct pair {
    uint64_t low, high;
};

static void exchange_pair_on_host(void *host, unsigned n_bytes, struct pair *expected, struct pair with) {
    if (n_bytes == 8) {
        uint64_t old = expected->low | expected->high << 32;
        soft_host_exchange(host, 8, &old, with.low | with.high << 32);
        *expected = (struct pair){(uint32_t)old, old >> 32};
        return;
    }
    __asm__ volatile("lock cmpxchg16b (%[host])"
                     : "+a"(expected->low), "+d"(expected->high)
                     : [host] "r"(host), "b"(with.low), "c"(with.high)
                     : "memory", "cc");
}

static bool exchange_pair_slowly(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes,
                                 struct pair *expected, struct pair with) {
    struct pair old = {0};
    unsigned half = n_bytes / 2;
    uint8_t bytes[16];
    soft_split_lock(cpu);
    bool done = soft_read(cpu, linear, bytes, n_bytes);
    if (done) {
        memcpy(&old.low, bytes, half);
        memcpy(&old.high, bytes + half, half);
        if (old.low == expected->low && old.high == expected->high) {
            memcpy(bytes, &with.low, half);
            memcpy(bytes + half, &with.high, half);
        }
        done = soft_write(cpu, linear, bytes, n_bytes);
    }
    soft_split_unlock(cpu);
    *expected = old;
    return done;
}

static enum soft_step exchange_pair(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    unsigned half = n_bytes / 2;
    uint64_t linear;
    struct pair expected = {soft_gpr_get(cpu, VM_RAX, half), soft_gpr_get(cpu, VM_RDX, half)}, old = expected;
    struct pair with = {soft_gpr_get(cpu, VM_RBX, half), soft_gpr_get(cpu, VM_RCX, half)};
    if (!soft_linear(cpu, insn, &linear, n_bytes, true)) return SOFT_FAULT;
    if (n_bytes == 16 && (linear & 15)) return soft_raise_gp(cpu, 0);
    void *host = soft_writable(cpu, linear, n_bytes);
    if (host) {
        exchange_pair_on_host(host, n_bytes, &old, with);
    } else {
        if (cpu->fault.vector != SOFT_NO_FAULT) return SOFT_FAULT;
        if (!exchange_pair_slowly(cpu, linear, n_bytes, &old, with)) return SOFT_FAULT;
    }
    if (old.low == expected.low && old.high == expected.high) {
        cpu->rflags |= SOFT_ZF;
        return SOFT_NEXT;
    }
    cpu->rflags &= ~(uint64_t)SOFT_ZF;
    soft_gpr_set(cpu, VM_RAX, half, old.low);
    soft_gpr_set(cpu, VM_RDX, half, old.high);
    return SOFT_NEXT;
}
enum soft_step soft_cmpxchg8b(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return exchange_pair(cpu, insn, 8);
}
enum soft_step soft_cmpxchg16b(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return exchange_pair(cpu, insn, 16);
}

/* ---- no operation ---- */

/* Operands of a nop are not accessed. */
enum soft_step soft_nop(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)cpu;
    (void)insn;
    return SOFT_NEXT;
}

/* ---- random numbers ---- */

enum soft_step soft_rdrand(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t value = 0;
    bool done = soft_random(cpu, &value);
    soft_register_set(cpu, insn->operands, done ? value : 0);
    cpu->rflags = (cpu->rflags & ~(uint64_t)SOFT_ARITHMETIC) | (done ? SOFT_CF : 0);
    return SOFT_NEXT;
}
