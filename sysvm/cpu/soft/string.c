/* sysvm/cpu/soft/string.c: movs, stos, lods, scas, cmps, alone and repeated.
 *
 * A repeated instruction does a part at a time, at most what stays within a page on both sides, and comes back as
 * SOFT_AGAIN: interrupts get in between, and a fault finds the registers where the fault is. */
#include "sysvm/cpu/soft/operand.h"

enum { PART = 4096 }; /* bytes that one turn handles at most */

/* ---- registers ---- */

/* How far an element moves rsi and rdi. */
SOFT_INLINE int64_t stride(const struct soft_cpu *cpu, unsigned n_bytes) {
    return cpu->rflags & SOFT_DF ? -(int64_t)n_bytes : (int64_t)n_bytes;
}
SOFT_INLINE void advance(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned reg, int64_t by) {
    soft_gpr_set(cpu, reg, insn->address_bytes, cpu->gpr[reg] + (uint64_t)by);
}
SOFT_INLINE uint64_t count_left(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    return soft_gpr_get(cpu, VM_RCX, insn->address_bytes);
}

SOFT_INLINE bool source_address(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes,
                                uint64_t *out) {
    return soft_linear_at(cpu, insn->segment, soft_gpr_get(cpu, VM_RSI, insn->address_bytes), n_bytes, false,
                          out);
}
/* The destination's segment is ES whatever the prefixes say. */
SOFT_INLINE bool target_address(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes,
                                bool write, uint64_t *out) {
    return soft_linear_at(cpu, VM_ES, soft_gpr_get(cpu, VM_RDI, insn->address_bytes), n_bytes, write, out);
}

/* ---- elements ---- */

typedef enum soft_step element(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes);

SOFT_INLINE enum soft_step movs(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint64_t from, to, value = 0;
    if (!source_address(cpu, insn, n_bytes, &from) || !soft_read(cpu, from, &value, n_bytes) ||
        !target_address(cpu, insn, n_bytes, true, &to) || !soft_write(cpu, to, &value, n_bytes))
        return SOFT_FAULT;
    advance(cpu, insn, VM_RSI, stride(cpu, n_bytes));
    advance(cpu, insn, VM_RDI, stride(cpu, n_bytes));
    return SOFT_NEXT;
}
SOFT_INLINE enum soft_step stos(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint64_t to;
    if (!target_address(cpu, insn, n_bytes, true, &to) || !soft_write(cpu, to, &cpu->gpr[VM_RAX], n_bytes))
        return SOFT_FAULT;
    advance(cpu, insn, VM_RDI, stride(cpu, n_bytes));
    return SOFT_NEXT;
}
SOFT_INLINE enum soft_step lods(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint64_t from, value = 0;
    if (!source_address(cpu, insn, n_bytes, &from) || !soft_read(cpu, from, &value, n_bytes))
        return SOFT_FAULT;
    soft_gpr_set(cpu, VM_RAX, n_bytes, value);
    advance(cpu, insn, VM_RSI, stride(cpu, n_bytes));
    return SOFT_NEXT;
}

SOFT_INLINE void compare(struct soft_cpu *cpu, uint64_t left, uint64_t right, unsigned n_bytes) {
    SOFT_WIDTHS("", "sub", left, right, &cpu->rflags);
}
SOFT_INLINE enum soft_step scas(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint64_t at, value = 0;
    if (!target_address(cpu, insn, n_bytes, false, &at) || !soft_read(cpu, at, &value, n_bytes))
        return SOFT_FAULT;
    compare(cpu, soft_gpr_get(cpu, VM_RAX, n_bytes), value, n_bytes);
    advance(cpu, insn, VM_RDI, stride(cpu, n_bytes));
    return SOFT_NEXT;
}
SOFT_INLINE enum soft_step cmps(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint64_t first, second, left = 0, right = 0;
    /* Where both fault, processors tell of the one at rdi. */
    if (!target_address(cpu, insn, n_bytes, false, &second) || !soft_read(cpu, second, &right, n_bytes) ||
        !source_address(cpu, insn, n_bytes, &first) || !soft_read(cpu, first, &left, n_bytes))
        return SOFT_FAULT;
    compare(cpu, left, right, n_bytes);
    advance(cpu, insn, VM_RSI, stride(cpu, n_bytes));
    advance(cpu, insn, VM_RDI, stride(cpu, n_bytes));
    return SOFT_NEXT;
}

/* ---- in bulk: forwards, in RAM, within a page on both sides ---- */

/* Elements from `linear` to the end of its page, as many as are left. The whole run has to pass the segment's checks. */
SOFT_INLINE uint64_t within_page(uint64_t linear, unsigned n_bytes, uint64_t n) {
    uint64_t room = (VM_PAGE - linear % VM_PAGE) / n_bytes;
    return n < room ? n : room;
}

static void fill(void *host, uint64_t value, unsigned n_bytes, uint64_t n) {
    if (n_bytes == 1) {
        memset(host, (int)(value & 0xFF), n);
        return;
    }
    for (uint64_t i = 0; i < n; i++) soft_host_store((char *)host + i * n_bytes, n_bytes, value);
}

/* Where a read needs no further check; NULL also before the first one to that page. */
static const void *readable(struct soft_cpu *cpu, uint64_t linear, uint64_t n_bytes) {
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, cpu->tlb.view, linear);
    if (((linear + n_bytes - 1) & SOFT_PAGE_MASK) != entry->read) return NULL;
    return soft_tlb_host(entry, linear);
}

/* Each returns how many elements it did; 0: element by element, please. A fault there is found again and told there. */
static uint64_t stos_bulk(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes, uint64_t n) {
    uint64_t to;
    if (!target_address(cpu, insn, n_bytes, true, &to)) return 0;
    n = within_page(to, n_bytes, n);
    if (n < 2 || !target_address(cpu, insn, (unsigned)n * n_bytes, true, &to)) return 0;
    void *host = soft_writable(cpu, to, (unsigned)n * n_bytes);
    if (!host) return 0;
    fill(host, cpu->gpr[VM_RAX], n_bytes, n);
    advance(cpu, insn, VM_RDI, (int64_t)(n * n_bytes));
    return n;
}

/* Where the destination starts within the source, what was written is read again: a pattern repeats. */
static void copy(char *to, const char *from, unsigned n_bytes, uint64_t n) {
    uint64_t size = n * n_bytes;
    if (to <= from || to >= from + size) {
        memmove(to, from, size);
        return;
    }
    for (uint64_t i = 0; i < size; i += n_bytes)
        soft_host_store(to + i, n_bytes, soft_host_load(from + i, n_bytes));
}

static uint64_t movs_bulk(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes, uint64_t n) {
    uint64_t from, to;
    if (!source_address(cpu, insn, n_bytes, &from) || !target_address(cpu, insn, n_bytes, true, &to))
        return 0;
    n = within_page(to, n_bytes, within_page(from, n_bytes, n));
    if (n < 2 || !source_address(cpu, insn, (unsigned)n * n_bytes, &from) ||
        !target_address(cpu, insn, (unsigned)n * n_bytes, true, &to))
        return 0;
    const void *source = readable(cpu, from, n * n_bytes);
    if (!source) return 0;
    void *target = soft_writable(cpu, to, (unsigned)n * n_bytes);
    if (!target) return 0;
    copy(target, source, n_bytes, n);
    advance(cpu, insn, VM_RSI, (int64_t)(n * n_bytes));
    advance(cpu, insn, VM_RDI, (int64_t)(n * n_bytes));
    return n;
}

/* ---- repetition ---- */

enum until { ALL, WHILE_EQUAL_AS_PREFIXED };

SOFT_INLINE bool is_over(const struct soft_cpu *cpu, const struct soft_insn *insn, enum until until) {
    if (until == ALL) return false;
    bool equal = cpu->rflags & SOFT_ZF;
    return insn->repne ? equal : !equal;
}

/* One turn: some elements, or the first fault. With TF, or under a debugger, each element is a step of its own. */
SOFT_INLINE enum soft_step
repeat(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes, element *one,
       uint64_t (*bulk)(struct soft_cpu *, const struct soft_insn *, unsigned, uint64_t), enum until until) {
    if (!insn->rep && !insn->repne) return one(cpu, insn, n_bytes);
    uint64_t left = count_left(cpu, insn);
    if (!left) {
        advance(cpu, insn, VM_RCX, 0); /* a count of 32 bits is written also where there is nothing to do */
        return SOFT_NEXT;
    }
    uint64_t turn = left < PART / n_bytes ? left : PART / n_bytes;
    if (cpu->rflags & SOFT_TF || (cpu->debugged && soft_debug_by_element(&cpu->debug))) turn = 1;
    /* 16-bit offsets wrap anywhere in a page; each element has an alignment of its own. */
    if (bulk && turn > 1 && !(cpu->rflags & SOFT_DF) && insn->address_bytes > 2 &&
        cpu->tlb.view != SOFT_VIEW_ALIGNED) {
        uint64_t done = bulk(cpu, insn, n_bytes, turn);
        if (done) {
            advance(cpu, insn, VM_RCX, -(int64_t)done);
            return done == left ? SOFT_NEXT : SOFT_AGAIN;
        }
        turn = turn < 16 ? turn : 16; /* an element across pages, or a device: try again soon */
    }
    const uint64_t flags = cpu->rflags;
    for (uint64_t i = 0; i < turn; i++) {
        enum soft_step step = one(cpu, insn, n_bytes);
        if (step != SOFT_NEXT) {
            cpu->rflags = flags; /* those of before, the manual says of a fault */
            return step;
        }
        advance(cpu, insn, VM_RCX, -1);
        if (is_over(cpu, insn, until)) return SOFT_NEXT;
    }
    return turn == left ? SOFT_NEXT : SOFT_AGAIN;
}

/* ---- handlers ---- */

#define STRING(name, bulk, until)                                                                            \
    enum soft_step soft_##name(struct soft_cpu *cpu, const struct soft_insn *insn) {                         \
        switch (insn->operand_bytes) {                                                                       \
        case 1: return repeat(cpu, insn, 1, name, bulk, until);                                              \
        case 2: return repeat(cpu, insn, 2, name, bulk, until);                                              \
        case 4: return repeat(cpu, insn, 4, name, bulk, until);                                              \
        default: return repeat(cpu, insn, 8, name, bulk, until);                                             \
        }                                                                                                    \
    }
STRING(movs, movs_bulk, ALL)
STRING(stos, stos_bulk, ALL)
STRING(lods, NULL, ALL)
STRING(scas, NULL, WHILE_EQUAL_AS_PREFIXED)
STRING(cmps, NULL, WHILE_EQUAL_AS_PREFIXED)
