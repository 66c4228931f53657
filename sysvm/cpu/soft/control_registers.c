/* sysvm/cpu/soft/control_registers.c: control, debug and extended control registers, descriptor-table registers, and
 * what forgets translations.
 * Source: Intel SDM volume 3, "Control Registers", "Debug Registers", "Initializing IA-32e Mode"; volume 2, MOV to and
 * from control registers, XSETBV, INVPCID, LGDT, SMSW. */
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"

/* ---- CR0, EFER: into long mode and out of it ---- */

static bool check_cr0(struct soft_cpu *cpu, uint64_t value) {
    bool pages = value & SOFT_CR0_PG, paged = cpu->cr0 & SOFT_CR0_PG;
    if (value >> 32 || (pages && !(value & SOFT_CR0_PE))) return false;
    if ((value & SOFT_CR0_NW) && !(value & SOFT_CR0_CD)) return false;
    if (paged && !pages && (cpu->mode == SOFT_LONG64 || cpu->cr4 & SOFT_CR4_PCIDE)) return false;
    if (!pages || paged) return true;
    if (cpu->efer & SOFT_EFER_LME)
        return (cpu->cr4 & SOFT_CR4_PAE) && !(cpu->segments[VM_CS].access & SOFT_LONG);
    return !(cpu->cr4 & SOFT_CR4_PAE) || soft_pae_is_valid(cpu, cpu->cr3);
}

bool soft_set_cr0(struct soft_cpu *cpu, uint64_t value) {
    enum {
        KNOWN = SOFT_CR0_PE | SOFT_CR0_MP | SOFT_CR0_EM | SOFT_CR0_TS | SOFT_CR0_NE | SOFT_CR0_WP |
                SOFT_CR0_AM | SOFT_CR0_NW | SOFT_CR0_CD
    };
    if (!check_cr0(cpu, value)) return soft_fail(cpu, SOFT_GP, 0);
    value = (value & (KNOWN | SOFT_CR0_PG)) | SOFT_CR0_ET;
    uint64_t changed = cpu->cr0 ^ value;
    cpu->cr0 = value;
    if (changed & SOFT_CR0_PG) {
        bool is_long = (value & SOFT_CR0_PG) && (cpu->efer & SOFT_EFER_LME);
        cpu->efer = is_long ? cpu->efer | SOFT_EFER_LMA : cpu->efer & ~(uint64_t)SOFT_EFER_LMA;
    }
    if (changed & (SOFT_CR0_PG | SOFT_CR0_WP | SOFT_CR0_PE)) soft_tlb_flush(cpu, true);
    if (!(value & SOFT_CR0_PE)) cpu->cpl = 0;
    soft_mode_changed(cpu);
    soft_view_changed(cpu);
    return true;
}

bool soft_set_efer(struct soft_cpu *cpu, uint64_t value) {
    const uint64_t known = SOFT_EFER_SCE | SOFT_EFER_LME | SOFT_EFER_LMA | SOFT_EFER_NXE;
    if (value & ~known) return false;
    if (((value ^ cpu->efer) & SOFT_EFER_LME) && (cpu->cr0 & SOFT_CR0_PG)) return false;
    value = (value & ~(uint64_t)SOFT_EFER_LMA) | (cpu->efer & SOFT_EFER_LMA);
    if ((value ^ cpu->efer) & SOFT_EFER_NXE) soft_tlb_flush(cpu, true);
    cpu->efer = value;
    return true;
}

/* ---- CR3, CR4 ---- */

static bool set_cr3(struct soft_cpu *cpu, uint64_t value) {
    const bool keeps = cpu->cr4 & SOFT_CR4_PCIDE && value >> 63;
    if (keeps) value &= UINT64_MAX >> 1;
    if (soft_is_long(cpu) && value >> SOFT_PHYSICAL_BITS) return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_is_long(cpu) && (cpu->cr0 & SOFT_CR0_PG) && (cpu->cr4 & SOFT_CR4_PAE) &&
        !soft_pae_is_valid(cpu, value))
        return soft_fail(cpu, SOFT_GP, 0);
    cpu->cr3 = value;
    soft_tlb_enter_space(cpu, soft_pcid(cpu), keeps);
    return true;
}

/* User-interrupts, protection keys and the like are not told in CPUID. */
static uint64_t known_cr4(struct soft_cpu *cpu) {
    uint64_t known = SOFT_CR4_TSD | SOFT_CR4_DE | SOFT_CR4_PSE | SOFT_CR4_PAE | SOFT_CR4_MCE | SOFT_CR4_PGE |
                     SOFT_CR4_PCE | SOFT_CR4_OSFXSR | SOFT_CR4_OSXMMEXCPT | SOFT_CR4_UMIP |
                     SOFT_CR4_FSGSBASE | SOFT_CR4_PCIDE | SOFT_CR4_SMEP | SOFT_CR4_SMAP;
    if (soft_cpuid(cpu, 1, 0).ecx & 1u << 26) known |= SOFT_CR4_OSXSAVE;
    return known;
}

static bool set_cr4(struct soft_cpu *cpu, uint64_t value) {
    enum {
        TRANSLATES =
            SOFT_CR4_PSE | SOFT_CR4_PAE | SOFT_CR4_PGE | SOFT_CR4_PCIDE | SOFT_CR4_SMEP | SOFT_CR4_SMAP
    };
    uint64_t changed = cpu->cr4 ^ value;
    if ((value & ~known_cr4(cpu)) || (soft_is_long(cpu) && !(value & SOFT_CR4_PAE)))
        return soft_fail(cpu, SOFT_GP, 0);
    if ((changed & value & SOFT_CR4_PCIDE) && (!soft_is_long(cpu) || cpu->cr3 & 0xFFF))
        return soft_fail(cpu, SOFT_GP, 0);
    bool starts_pae =
        !soft_is_long(cpu) && (cpu->cr0 & SOFT_CR0_PG) && (value & SOFT_CR4_PAE) && (changed & TRANSLATES);
    if (starts_pae && !soft_pae_is_valid(cpu, cpu->cr3)) return soft_fail(cpu, SOFT_GP, 0);
    cpu->cr4 = value;
    if (changed & TRANSLATES) soft_tlb_flush(cpu, true);
    if (changed & SOFT_CR4_PCIDE) soft_tlb_enter_space(cpu, soft_pcid(cpu), true);
    return true;
}

/* ---- mov ---- */

static bool write_control(struct soft_cpu *cpu, unsigned reg, uint64_t value) {
    switch (reg) {
    case 0: return soft_set_cr0(cpu, value);
    case 2: cpu->cr2 = value; return true;
    case 3: return set_cr3(cpu, value);
    case 4: return set_cr4(cpu, value);
    case 8:
        if (value > 15) return soft_fail(cpu, SOFT_GP, 0);
        soft_set_cr8(cpu, (uint8_t)value);
        return true;
    default: soft_raise_ud(cpu); return false;
    }
}

static bool read_control(struct soft_cpu *cpu, unsigned reg, uint64_t *out) {
    switch (reg) {
    case 0: *out = cpu->cr0; return true;
    case 2: *out = cpu->cr2; return true;
    case 3: *out = cpu->cr3; return true;
    case 4: *out = cpu->cr4; return true;
    case 8: *out = soft_cr8(cpu); return true;
    default: soft_raise_ud(cpu); return false;
    }
}

static unsigned word_bytes(const struct soft_cpu *cpu) { return cpu->mode == SOFT_LONG64 ? 8 : 4; }

enum soft_step soft_move_control(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const struct soft_operand *to = &insn->operands[0], *from = &insn->operands[1];
    uint64_t value;
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    if (to->kind == SOFT_CR)
        return write_control(cpu, to->reg, soft_gpr_get(cpu, from->reg, word_bytes(cpu))) ? SOFT_END
                                                                                          : SOFT_FAULT;
    if (!read_control(cpu, from->reg, &value)) return SOFT_FAULT;
    soft_gpr_set(cpu, to->reg, word_bytes(cpu), value);
    return SOFT_NEXT;
}

enum soft_step soft_move_debug(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum { DR7_GENERAL_DETECT = 1 << 13, DR6_DETECTED = 1 << 13 };
    const struct soft_operand *to = &insn->operands[0], *from = &insn->operands[1];
    bool is_write = to->kind == SOFT_DR;
    unsigned reg = is_write ? to->reg : from->reg;
    if (reg > 7) return soft_raise_ud(cpu);
    if ((reg == 4 || reg == 5) && (cpu->cr4 & SOFT_CR4_DE)) return soft_raise_ud(cpu);
    if (reg == 4 || reg == 5) reg += 2;
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    if (cpu->dr[7] & DR7_GENERAL_DETECT) {
        soft_raise(cpu, SOFT_DB, false, 0);
        cpu->fault.dr6 = DR6_DETECTED;
        return SOFT_FAULT;
    }
    if (!is_write) {
        soft_gpr_set(cpu, to->reg, word_bytes(cpu), cpu->dr[reg]);
        return SOFT_NEXT;
    }
    uint64_t value = soft_gpr_get(cpu, from->reg, word_bytes(cpu));
    if (reg >= 6 && value >> 32) return soft_raise_gp(cpu, 0);
    if (reg == 6) value = (value & 0xE00F) | SOFT_DR6_ONES;
    if (reg == 7) value = (value & 0xFFFF2BFF) | SOFT_DR7_ONES;
    cpu->dr[reg] = value;
    soft_debug_changed(cpu);
    return SOFT_END;
}

enum soft_step soft_clts(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    cpu->cr0 &= ~(uint64_t)SOFT_CR0_TS;
    return SOFT_END;
}

enum soft_step soft_lmsw(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum { BITS = SOFT_CR0_PE | SOFT_CR0_MP | SOFT_CR0_EM | SOFT_CR0_TS };
    uint64_t value;
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    if (!soft_operand_read(cpu, insn, 0, 2, &value)) return SOFT_FAULT;
    value &= BITS;
    value |= cpu->cr0 & SOFT_CR0_PE; /* it cannot be cleared here */
    return soft_set_cr0(cpu, (cpu->cr0 & ~(uint64_t)BITS) | value) ? SOFT_END : SOFT_FAULT;
}

static bool umip_stops(struct soft_cpu *cpu) {
    if (!cpu->cpl || !(cpu->cr4 & SOFT_CR4_UMIP)) return false;
    soft_raise_gp(cpu, 0);
    return true;
}

enum soft_step soft_smsw(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (umip_stops(cpu)) return SOFT_FAULT;
    unsigned n_bytes = insn->operands[0].kind == SOFT_MEM ? 2 : insn->operand_bytes;
    return soft_operand_write(cpu, insn, 0, n_bytes, cpu->cr0) ? SOFT_NEXT : SOFT_FAULT;
}

/* ---- XCR0 ---- */

enum soft_step soft_xgetbv(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (!(cpu->cr4 & SOFT_CR4_OSXSAVE)) return soft_raise_ud(cpu);
    if ((uint32_t)cpu->gpr[VM_RCX] != 0) return soft_raise_gp(cpu, 0);
    cpu->gpr[VM_RAX] = (uint32_t)cpu->xcr0;
    cpu->gpr[VM_RDX] = cpu->xcr0 >> 32;
    return SOFT_NEXT;
}

enum soft_step soft_xsetbv(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    enum { X87 = 1, SSE = 2, AVX = 4 };
    if (!(cpu->cr4 & SOFT_CR4_OSXSAVE)) return soft_raise_ud(cpu);
    uint64_t value = (uint32_t)cpu->gpr[VM_RAX] | cpu->gpr[VM_RDX] << 32;
    bool ok = !cpu->cpl && (uint32_t)cpu->gpr[VM_RCX] == 0 && (value & X87) &&
              !(value & ~(uint64_t)soft_cpuid(cpu, 0xD, 0).eax) && (!(value & AVX) || (value & SSE));
    if (!ok) return soft_raise_gp(cpu, 0);
    cpu->xcr0 = value;
    return SOFT_END;
}

/* ---- GDTR, IDTR ---- */

static bool load_table(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *out_base,
                       uint16_t *out_limit) {
    unsigned width = word_bytes(cpu);
    uint8_t bytes[10] = {0};
    uint64_t linear, base = 0;
    if (cpu->cpl) return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_linear(cpu, insn, &linear, width + 2, false) || !soft_read(cpu, linear, bytes, width + 2))
        return false;
    memcpy(&base, bytes + 2, width);
    if (width == 4 && insn->operand_bytes == 2) base &= 0xFFFFFF;
    if (!soft_is_canonical(base)) return soft_fail(cpu, SOFT_GP, 0);
    memcpy(out_limit, bytes, 2);
    *out_base = base;
    return true;
}

enum soft_step soft_lgdt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_table(cpu, insn, &cpu->gdt.base, &cpu->gdt.limit) ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_lidt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_table(cpu, insn, &cpu->idt.base, &cpu->idt.limit) ? SOFT_NEXT : SOFT_FAULT;
}

static enum soft_step store_table(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t base,
                                  uint16_t limit) {
    unsigned width = word_bytes(cpu);
    uint8_t bytes[10];
    uint64_t linear;
    if (umip_stops(cpu)) return SOFT_FAULT;
    memcpy(bytes, &limit, 2);
    memcpy(bytes + 2, &base, 8);
    bool ok = soft_linear(cpu, insn, &linear, width + 2, true) && soft_write(cpu, linear, bytes, width + 2);
    return ok ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_sgdt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return store_table(cpu, insn, cpu->gdt.base, cpu->gdt.limit);
}

enum soft_step soft_sidt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return store_table(cpu, insn, cpu->idt.base, cpu->idt.limit);
}

/* ---- translations and caches ---- */

enum soft_step soft_invlpg(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    uint64_t linear = soft_effective(cpu, insn);
    bool has_base = cpu->mode != SOFT_LONG64 || insn->segment == VM_FS || insn->segment == VM_GS;
    if (has_base) linear += cpu->segments[insn->segment].base;
    if (cpu->mode != SOFT_LONG64) linear = (uint32_t)linear;
    if (soft_is_canonical(linear)) soft_tlb_flush_page(cpu, linear);
    return SOFT_END;
}

enum soft_step soft_invpcid(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum { ONE_ADDRESS, ONE_CONTEXT, ALL, ALL_BUT_GLOBAL };
    uint64_t linear, type = soft_gpr_get(cpu, insn->operands[0].reg, word_bytes(cpu)), descriptor[2];
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    if (!soft_linear(cpu, insn, &linear, 16, false) || !soft_read(cpu, linear, descriptor, 16))
        return SOFT_FAULT;
    bool is_reserved = type > ALL_BUT_GLOBAL || descriptor[0] >> 12;
    bool is_other = type <= ONE_CONTEXT && descriptor[0] && !(cpu->cr4 & SOFT_CR4_PCIDE);
    if (is_reserved || is_other || (type == ONE_ADDRESS && !soft_is_canonical(descriptor[1])))
        return soft_raise_gp(cpu, 0);
    if (type == ONE_ADDRESS)
        soft_tlb_flush_page_of(cpu, (uint16_t)descriptor[0], descriptor[1]);
    else if (type == ONE_CONTEXT)
        soft_tlb_flush_space(cpu, (uint16_t)descriptor[0]);
    else
        soft_tlb_flush(cpu, type == ALL);
    return SOFT_END;
}

/* invd, wbinvd, wbnoinvd: memory and caches never differ here. */
enum soft_step soft_wbinvd(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return cpu->cpl ? soft_raise_gp(cpu, 0) : SOFT_NEXT;
}
