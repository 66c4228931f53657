/* sysvm/cpu/translate/thunks.c: into translated code, out of it, and to an interpreter's handler in its midst. */
#include "sysvm/cpu/translate/internal.h"

/* What a called function keeps. */
static const int8_t kept[] = {RBX, RBP, R12, R13, R14, R15};
enum { N_KEPT = sizeof kept };

static void push(struct x86 *a, int reg) {
    x86_bytes(a, reg >= 8 ? 0x5041u | (unsigned)(reg & 7) << 8 : 0x50u | (unsigned)reg, reg >= 8 ? 2 : 1);
}
static void pop(struct x86 *a, int reg) {
    x86_bytes(a, reg >= 8 ? 0x5841u | (unsigned)(reg & 7) << 8 : 0x58u | (unsigned)reg, reg >= 8 ? 2 : 1);
}

/* The guest's registers between the host's and memory; `pushed`: bytes on the stack above page_base's place. */
static void move_guest(struct x86 *a, bool store, int32_t pushed) {
    for (int guest = 0; guest < 16; guest++) {
        const int host = dbt_host(guest);
        if (host == HOST_NONE) continue;
        x86_op(a, (store ? X86_MOV_STORE : X86_MOV_LOAD) | X86_W, host,
               cpu_at(CPU_AT(gpr) + guest * 8 + pushed));
    }
}

/* Back to who called `enter`, with eax. */
static void leave(struct x86 *a, int32_t pushed) {
    x86_op(a, X86_MOV_LOAD | X86_W, RSP, cpu_at(CPU_AT(translated.host_stack) + pushed));
    for (unsigned i = N_KEPT; i-- > 0;) pop(a, kept[i]);
    x86_bytes(a, 0xC3, 1);
}

/* enter(cpu, code) */
static void make_enter(struct x86 *a) {
    const int32_t base = (int32_t)offsetof(struct soft_cpu, page_base);
    for (unsigned i = 0; i < N_KEPT; i++) push(a, kept[i]);
    x86_op(a, X86_MOV_STORE | X86_W, RSP, x86_mem(RDI, base + CPU_AT(translated.host_stack)));
    x86_op(a, X86_MOV_LOAD | X86_W, RAX, x86_reg(RSI));
    x86_op(a, X86_LEA | X86_W, RSP, x86_mem(RDI, base));
    move_guest(a, false, 0);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_reg(RAX));
}

/* Jumped to with r11d: what enter returns. */
static void make_exit(struct x86 *a) {
    move_guest(a, true, 0);
    x86_op(a, X86_MOV_LOAD, RAX, x86_reg(HOST_B));
    leave(a, 0);
}

/* Jumped to with the address to go on at in rax. */
static void make_indirect(struct x86 *a) {
    x86_op(a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(rip)));
    x86_const(a, HOST_B, LEFT_INDIRECT);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.exit)));
}

/* Called with an instruction in r11; rax goes. C code runs on the stack that `enter` came from. */
static void make_step(struct x86 *a, uint32_t *labels) {
    enum { RETURN = 8, ENDED = 0 };
    union {
        uint32_t (*function)(struct soft_cpu *cpu, const struct soft_insn *insn);
        uint64_t address;
    } step = {dbt_step};
    move_guest(a, true, RETURN);
    x86_op(a, X86_MOV_LOAD | X86_W, RBX, x86_reg(RSP));
    x86_op(a, X86_LEA | X86_W, RDI, x86_mem(RSP, RETURN - (int32_t)offsetof(struct soft_cpu, page_base)));
    x86_op(a, X86_MOV_LOAD | X86_W, RSI, x86_reg(HOST_B));
    x86_op(a, X86_MOV_LOAD | X86_W, RSP, cpu_at(CPU_AT(translated.host_stack) + RETURN));
    x86_alu_imm(a, 4, X86_W, x86_reg(RSP), -16);
    x86_const(a, RAX, step.address);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_reg(RAX));
    x86_op(a, X86_MOV_LOAD | X86_W, RSP, x86_reg(RBX));
    x86_op(a, X86_TEST, RAX, x86_reg(RAX));
    x86_branch(a, CC_NE, ENDED);
    move_guest(a, false, RETURN);
    x86_bytes(a, 0xC3, 1);
    labels[ENDED] = (uint32_t)a->size;
    x86_const(a, RAX, LEFT_STEP);
    leave(a, RETURN);
}

bool dbt_make_thunks(struct soft_translator *translator) {
    struct x86 a;
    uint32_t labels[1], at[4];
    x86_init(&a, translator->alloc);
    at[0] = (uint32_t)a.size;
    make_enter(&a);
    at[1] = (uint32_t)a.size;
    make_exit(&a);
    at[2] = (uint32_t)a.size;
    make_indirect(&a);
    at[3] = (uint32_t)a.size;
    make_step(&a, labels);
    uint8_t *code = x86_finish(&a, labels) ? jit_memory_take(&translator->memory, a.size) : NULL;
    bool done = code && !jit_memory_write(&translator->memory, code, a.bytes, a.size);
    struct soft_translated *translated = &translator->cpu->translated;
    if (done) {
        translator->enter = code + at[0];
        translated->exit = code + at[1];
        translated->indirect = code + at[2];
        translated->step = code + at[3];
    }
    x86_fini(&a);
    return done;
}
