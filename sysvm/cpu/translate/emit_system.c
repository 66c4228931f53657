/* sysvm/cpu/translate/emit_system.c: privileged instructions that every system call meets, where nothing stands against
 * them; else their handlers see to it.
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CLI, STI, SWAPGS */
#include "sysvm/cpu/translate/internal.h"

/* At level 0 none of them faults. Flags go. */
static struct cold *at_level_0(struct translation *t, const struct piece *piece) {
    dbt_spoil_flags(t, piece);
    struct cold *cold = dbt_cold(t, piece);
    x86_op_imm(&t->a, X86_CODE(0, 0, 0x80), 7, cpu_at(CPU_AT(cpl)), 0, 1);
    x86_branch(&t->a, CC_NE, cold->label);
    return cold;
}

void dbt_cli(struct translation *t, const struct piece *piece) {
    struct cold *cold = at_level_0(t, piece);
    x86_alu_imm(&t->a, 4, 0, cpu_at(CPU_AT(rflags)), ~(int32_t)SOFT_IF);
    dbt_cold_done(t, cold);
}

/* No interrupt comes before the next block, so what follows runs in any case. One that waits already is not asked for
 * again: the handler then ends the block. */
void dbt_sti(struct translation *t, const struct piece *piece) {
    struct cold *cold = at_level_0(t, piece);
    x86_op_imm(&t->a, X86_CODE(0, 0, 0x80), 7, cpu_at(CPU_AT(interrupt_waits)), 0, 1);
    x86_branch(&t->a, CC_NE, cold->label);
    x86_alu_imm(&t->a, 1, 0, cpu_at(CPU_AT(rflags)), SOFT_IF);
    dbt_cold_done(t, cold);
}

void dbt_swapgs(struct translation *t, const struct piece *piece) {
    const struct x86_rm base = cpu_at(
        CPU_AT(segments) + (int32_t)(VM_GS * sizeof(struct vm_segment) + offsetof(struct vm_segment, base)));
    const struct x86_rm kept = cpu_at(CPU_AT(msrs.kernel_gs_base));
    struct cold *cold = at_level_0(t, piece);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, base);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, kept);
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_B, base);
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, kept);
    dbt_cold_done(t, cold);
}
