/* sysvm/cpu/soft/port.c: in, out and their string forms, and the doors from a processor to what is no memory: the APIC,
 * else what the engine makes of it (soft_serve).
 * Source: Intel SDM volume 2, IN, INS, OUT, OUTS; volume 1, "I/O Permission Bit Map". */
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"

/* ---- doors ---- */

bool soft_apic_covers(const struct soft_cpu *cpu, uint64_t gpa) {
    const struct soft_apic *apic = cpu->apic;
    if (!apic || (apic->base & (SOFT_APIC_ON | SOFT_APIC_X2)) != SOFT_APIC_ON) return false;
    return (gpa & SOFT_PAGE_MASK) ==
           (apic->base & SOFT_PAGE_MASK & (UINT64_MAX >> (64 - SOFT_PHYSICAL_BITS)));
}

/* Registers of the APIC are 4 bytes at multiples of 16; a narrower read sees its part of one. */
static void access_apic(struct soft_cpu *cpu, uint32_t offset, void *data, unsigned n_bytes, bool write) {
    uint32_t value = 0;
    if (write) {
        if (n_bytes < 4 || offset % 4) return;
        memcpy(&value, data, 4);
        soft_apic_write(cpu->apic, offset, value);
        return;
    }
    unsigned within = offset % 4, n = n_bytes < 4 - within ? n_bytes : 4 - within;
    memset(data, 0, n_bytes);
    value = soft_apic_read(cpu->apic, offset & ~3u);
    memcpy(data, (const char *)&value + within, n);
}

bool soft_device(struct soft_cpu *cpu, uint64_t gpa, void *data, unsigned n_bytes, bool write) {
    if (!soft_apic_covers(cpu, gpa)) return soft_serve(cpu, VM_EXIT_MEMORY, gpa, data, n_bytes, write);
    access_apic(cpu, gpa % VM_PAGE, data, n_bytes, write);
    return true;
}

uint8_t soft_cr8(struct soft_cpu *cpu) { return cpu->apic ? soft_apic_cr8(cpu->apic) : 0; }

void soft_set_cr8(struct soft_cpu *cpu, uint8_t priority) {
    if (cpu->apic) soft_apic_set_cr8(cpu->apic, priority);
}

/* ---- permission ---- */

/* Below IOPL, and in V86 always, the bits of the TSS decide: all of the ports' have to be clear. */
static bool may_access(struct soft_cpu *cpu, uint16_t port, unsigned n_bytes) {
    const struct vm_segment *tss = &cpu->segments[VM_TR];
    uint16_t map, bits;
    if (!soft_is_protected(cpu) ? cpu->mode == SOFT_REAL : cpu->cpl <= soft_iopl(cpu)) return true;
    if (!(tss->access & SOFT_PRESENT) || !(tss->access & 8) || tss->limit < 0x67)
        return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_read_system(cpu, tss->base + 0x66, &map, 2)) return false;
    uint32_t at = (uint32_t)map + port / 8;
    if (at + 1 > tss->limit) return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_read_system(cpu, tss->base + at, &bits, 2)) return false;
    return !(bits >> port % 8 & ((1u << n_bytes) - 1)) || soft_fail(cpu, SOFT_GP, 0);
}

/* ---- in, out ---- */

static uint16_t port_of(const struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i) {
    return (uint16_t)(insn->operands[i].kind == SOFT_IMM ? insn->immediate & 0xFF : cpu->gpr[VM_RDX]);
}

enum soft_step soft_in(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint16_t port = port_of(cpu, insn, 1);
    uint32_t value = 0;
    if (n_bytes > 4) return soft_raise_ud(cpu);
    if (!may_access(cpu, port, n_bytes)) return SOFT_FAULT;
    if (!soft_serve(cpu, VM_EXIT_PORT, port, &value, n_bytes, false)) return SOFT_FAULT;
    soft_gpr_set(cpu, VM_RAX, n_bytes, value);
    return SOFT_NEXT;
}

enum soft_step soft_out(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[1].n_bytes;
    uint16_t port = port_of(cpu, insn, 0);
    uint32_t value = (uint32_t)cpu->gpr[VM_RAX];
    if (n_bytes > 4) return soft_raise_ud(cpu);
    if (!may_access(cpu, port, n_bytes)) return SOFT_FAULT;
    return soft_serve(cpu, VM_EXIT_PORT, port, &value, n_bytes, true) ? SOFT_NEXT : SOFT_FAULT;
}

/* ---- ins, outs: one element a step ---- */

static void advance(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned reg, unsigned n_bytes) {
    uint64_t value = soft_gpr_get(cpu, reg, insn->address_bytes);
    value = cpu->rflags & SOFT_DF ? value - n_bytes : value + n_bytes;
    soft_gpr_set(cpu, reg, insn->address_bytes, value);
}

static bool is_over(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    return (insn->rep || insn->repne) && !soft_gpr_get(cpu, VM_RCX, insn->address_bytes);
}

static enum soft_step count_down(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (!insn->rep && !insn->repne) return SOFT_NEXT;
    uint64_t left = soft_gpr_get(cpu, VM_RCX, insn->address_bytes) - 1;
    soft_gpr_set(cpu, VM_RCX, insn->address_bytes, left);
    return left ? SOFT_AGAIN : SOFT_NEXT;
}

static enum soft_step ins(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint16_t port = (uint16_t)cpu->gpr[VM_RDX];
    uint64_t linear, offset = soft_gpr_get(cpu, VM_RDI, insn->address_bytes);
    uint32_t value = 0;
    if (!may_access(cpu, port, n_bytes)) return SOFT_FAULT; /* also where nothing is left to be done */
    if (is_over(cpu, insn)) return SOFT_NEXT;
    if (!soft_linear_at(cpu, VM_ES, offset, n_bytes, true, &linear) ||
        !soft_probe(cpu, linear, n_bytes, true,
                    cpu->cpl == 3)) /* before the device gives what it gives once */
        return SOFT_FAULT;
    if (!soft_serve(cpu, VM_EXIT_PORT, port, &value, n_bytes, false) ||
        !soft_write(cpu, linear, &value, n_bytes))
        return SOFT_FAULT;
    advance(cpu, insn, VM_RDI, n_bytes);
    return count_down(cpu, insn);
}

static enum soft_step outs(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes) {
    uint16_t port = (uint16_t)cpu->gpr[VM_RDX];
    uint64_t linear, offset = soft_gpr_get(cpu, VM_RSI, insn->address_bytes);
    uint32_t value = 0;
    if (!may_access(cpu, port, n_bytes)) return SOFT_FAULT;
    if (is_over(cpu, insn)) return SOFT_NEXT;
    if (!soft_linear_at(cpu, insn->segment, offset, n_bytes, false, &linear) ||
        !soft_read(cpu, linear, &value, n_bytes) ||
        !soft_serve(cpu, VM_EXIT_PORT, port, &value, n_bytes, true))
        return SOFT_FAULT;
    advance(cpu, insn, VM_RSI, n_bytes);
    return count_down(cpu, insn);
}

enum soft_step soft_insb(struct soft_cpu *cpu, const struct soft_insn *insn) { return ins(cpu, insn, 1); }
enum soft_step soft_insw(struct soft_cpu *cpu, const struct soft_insn *insn) { return ins(cpu, insn, 2); }
enum soft_step soft_insd(struct soft_cpu *cpu, const struct soft_insn *insn) { return ins(cpu, insn, 4); }
enum soft_step soft_outsb(struct soft_cpu *cpu, const struct soft_insn *insn) { return outs(cpu, insn, 1); }
enum soft_step soft_outsw(struct soft_cpu *cpu, const struct soft_insn *insn) { return outs(cpu, insn, 2); }
enum soft_step soft_outsd(struct soft_cpu *cpu, const struct soft_insn *insn) { return outs(cpu, insn, 4); }
