/* sysvm/cpu/translate/thunks.c: into translated code, out of it, and to an interpreter's handler in its midst. */
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/translate/internal.h"

enum thunk_label {
    ENTER_LOADED,
    ENTER_VECTORS_LOADED,
    ENTER_X87_LOADED,
    EXIT_NOT_X87,
    EXIT_SAVED,
    STEP_NOT_X87,
    STEP_SAVED,
    STEP_NO_X87_LOADED,
    STEP_LOADED,
    ENDED,
    REST_NOT_X87,
    REST_SAVED,
    NOT_FOUND,
    N_THUNK_LABELS
};

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

/* To `label` if a byte of struct soft_cpu is 0. */
static void branch_if_0(struct x86 *a, int32_t at, uint32_t label) {
    x86_op_imm(a, X86_CODE(0, 0, 0x80), 7, cpu_at(at), 0, 1);
    x86_branch(a, CC_E, label);
}
static void clear_byte(struct x86 *a, int32_t at) {
    x86_op_imm(a, X86_CODE(0, 0, 0xC6), 0, cpu_at(at), 0, 1);
}

/* ---- vector registers ---- */

enum {
    VEXTRACTF128 = X86_CODE(1, 3, 0x19) | X86_VEX | X86_L,
    VINSERTF128 = X86_CODE(1, 3, 0x18) | X86_VEX | X86_L
};
enum { LDMXCSR = 2, STMXCSR = 3, MXCSR_OP = X86_CODE(0, 1, 0xAE) };

static struct x86_rm fp_at(int at, int32_t pushed) { return cpu_at(CPU_AT(fp) + at + pushed); }

static void vzeroupper(struct x86 *a) { x86_bytes(a, 0x77F8C5, 3); }

static void save_upper(struct x86 *a, int32_t pushed) {
    for (int i = 0; i < 16; i++)
        x86_vex_imm(a, VEXTRACTF128, XMM0 + i, 0, fp_at(SOFT_FP_YMM_HIGH + i * 16, pushed), 1);
    vzeroupper(a);
}

/* Into memory, if the host has them; the host's own MXCSR comes back. rax and flags go. */
static void save_vectors(struct x86 *a, const struct soft_translator *translator, uint32_t done,
                         int32_t pushed) {
    branch_if_0(a, CPU_AT(vectors) + pushed, done);
    for (int i = 0; i < 16; i++) x86_op(a, X86_MOVUPS_STORE, XMM0 + i, fp_at(FP_XMM + i * 16, pushed));
    if (translator->has_avx) save_upper(a, pushed);
    x86_op(a, MXCSR_OP, STMXCSR, cpu_at(CPU_AT(mxcsr) + pushed));
    x86_op(a, X86_MOV_LOAD, RAX, cpu_at(CPU_AT(mxcsr) + pushed));
    x86_alu_imm(a, 4, 0, x86_reg(RAX), MXCSR_FLAGS);
    x86_op(a, X86_CODE(0, 0, 0x09), RAX, fp_at(FP_MXCSR, pushed)); /* or */
    x86_op(a, MXCSR_OP, LDMXCSR, cpu_at(CPU_AT(host_mxcsr) + pushed));
}

/* Upper halves that are all 0 are left as the host has them after vzeroupper: code that knows of none is slow else. */
static void load_upper(struct x86 *a, uint32_t done, int32_t pushed) {
    branch_if_0(a, CPU_AT(wide) + pushed, done);
    for (int i = 0; i < 16; i++)
        x86_vex_imm(a, VINSERTF128, XMM0 + i, i, fp_at(SOFT_FP_YMM_HIGH + i * 16, pushed), 1);
}

static void load_vectors(struct x86 *a, const struct soft_translator *translator, uint32_t done,
                         int32_t pushed) {
    x86_op(a, MXCSR_OP, LDMXCSR, cpu_at(CPU_AT(mxcsr) + pushed));
    if (translator->has_avx) vzeroupper(a);
    for (int i = 0; i < 16; i++) {
        if (translator->has_avx)
            x86_vex(a, X86_MOVUPS_LOAD | X86_VEX, XMM0 + i, 0, fp_at(FP_XMM + i * 16, pushed));
        else
            x86_op(a, X86_MOVUPS_LOAD, XMM0 + i, fp_at(FP_XMM + i * 16, pushed));
    }
    if (translator->has_avx) load_upper(a, done, pushed);
}

/* ---- the x87 unit ---- */

enum { FXSAVE = 0, FXRSTOR = 1, FX_OP = X86_CODE(0, 1, 0xAE) | X86_W };
enum { PAGE_OFFSET = VM_PAGE - 1 };

/* The image's pointers and opcode into what translated code keeps of them; rcx and rdx go. */
static void load_pointers(struct x86 *a, int32_t pushed) {
    x86_op(a, X86_MOV_LOAD | X86_W, RCX, fp_at(FP_FDP, pushed));
    x86_op(a, X86_MOV_STORE | X86_W, RCX, cpu_at(CPU_AT(x87_operand) + pushed));
    x86_op(a, X86_MOVZX16, RDX, fp_at(FP_FOP, pushed));
    x86_shift_imm(a, 4, 0, RDX, 16);
    x86_op(a, X86_MOV_LOAD | X86_W, RCX, fp_at(FP_FIP, pushed));
    x86_op(a, X86_MOV_STORE | X86_W, RCX, cpu_at(CPU_AT(x87_page) + pushed));
    x86_alu_imm(a, 4, 0, x86_reg(RCX), PAGE_OFFSET);
    x86_op(a, X86_OR, RDX, x86_reg(RCX));
    x86_op(a, X86_MOV_STORE, RDX, cpu_at(CPU_AT(x87_last) + pushed));
    x86_alu_imm(a, 4, X86_W, cpu_at(CPU_AT(x87_page) + pushed), ~PAGE_OFFSET);
}

/* The other way: the host's own, which the image got, are none of the guest's. */
static void save_pointers(struct x86 *a, int32_t pushed) {
    x86_op(a, X86_MOV_LOAD | X86_W, RCX, cpu_at(CPU_AT(x87_operand) + pushed));
    x86_op(a, X86_MOV_STORE | X86_W, RCX, fp_at(FP_FDP, pushed));
    x86_op(a, X86_MOV_LOAD, RBX, cpu_at(CPU_AT(x87_last) + pushed));
    x86_op(a, X86_MOVZX16, RCX, x86_reg(RBX));
    x86_op(a, X86_ADD | X86_W, RCX, cpu_at(CPU_AT(x87_page) + pushed));
    x86_op(a, X86_MOV_STORE | X86_W, RCX, fp_at(FP_FIP, pushed));
    x86_shift_imm(a, 5, 0, RBX, 16);
    x86_op(a, X86_MOV_STORE16, RBX, fp_at(FP_FOP, pushed));
}

/* As load_vectors, with the x87 unit: xmm registers and MXCSR come with it, whether vectors count or not. */
static void load_x87(struct x86 *a, const struct soft_translator *translator, uint32_t done, int32_t pushed) {
    if (translator->has_avx) vzeroupper(a);
    x86_op(a, FX_OP, FXRSTOR, fp_at(0, pushed));
    load_pointers(a, pushed);
    if (!translator->has_avx) return;
    branch_if_0(a, CPU_AT(vectors) + pushed, done);
    load_upper(a, done, pushed);
}

/* Whatever the host has: as save_vectors, or with the x87 unit, which is clean then; rcx and rbx go, too. */
static void save_registers(struct x86 *a, const struct soft_translator *translator, uint32_t *labels,
                           uint32_t not_x87, uint32_t done, int32_t pushed) {
    branch_if_0(a, CPU_AT(x87) + pushed, not_x87);
    x86_op(a, FX_OP, FXSAVE, fp_at(0, pushed));
    x86_bytes(a, 0xE3DB, 2); /* fninit */
    x86_op(a, MXCSR_OP, LDMXCSR, cpu_at(CPU_AT(host_mxcsr) + pushed));
    save_pointers(a, pushed);
    if (translator->has_avx) {
        branch_if_0(a, CPU_AT(vectors) + pushed, done);
        save_upper(a, pushed);
    }
    x86_jump(a, done);
    labels[not_x87] = (uint32_t)a->size;
    save_vectors(a, translator, done, pushed);
    labels[done] = (uint32_t)a->size;
}

/* ---- in and out ---- */

/* What an enter loads: by index of `enter`. */
enum loads { LOADS_NONE, LOADS_VECTORS, LOADS_X87 };

/* enter(cpu, code) */
static void make_enter(struct x86 *a, const struct soft_translator *translator, enum loads loads,
                       uint32_t *labels, uint32_t label) {
    const int32_t base = (int32_t)offsetof(struct soft_cpu, page_base);
    for (unsigned i = 0; i < N_KEPT; i++) push(a, kept[i]);
    x86_op(a, X86_MOV_STORE | X86_W, RSP, x86_mem(RDI, base + CPU_AT(translated.host_stack)));
    x86_op(a, X86_MOV_LOAD | X86_W, RAX, x86_reg(RSI));
    x86_op(a, X86_LEA | X86_W, RSP, x86_mem(RDI, base));
    x86_op(a, MXCSR_OP, STMXCSR, cpu_at(CPU_AT(host_mxcsr)));
    if (loads == LOADS_VECTORS) load_vectors(a, translator, label, 0);
    if (loads == LOADS_X87) load_x87(a, translator, label, 0);
    labels[label] = (uint32_t)a->size;
    move_guest(a, false, 0);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_reg(RAX));
}

/* Jumped to with r11d: what enter returns. */
static void make_exit(struct x86 *a, const struct soft_translator *translator, uint32_t *labels) {
    move_guest(a, true, 0);
    save_registers(a, translator, labels, EXIT_NOT_X87, EXIT_SAVED, 0);
    clear_byte(a, CPU_AT(vectors));
    clear_byte(a, CPU_AT(x87));
    x86_op(a, X86_MOV_LOAD, RAX, x86_reg(HOST_B));
    leave(a, 0);
}

/* Jumped to with the address to go on at in rax. */
static void make_indirect(struct x86 *a) {
    x86_op(a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(rip)));
    x86_const(a, HOST_B, LEFT_INDIRECT);
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.exit)));
}

/* Users' code, of a jump to another page: jumped to with the address to go on at in rax, and with r11d for make_exit,
 * where it goes on if the jump's stamp is of no address space that is kept: then the stamp can be this one's. */
static void make_find(struct x86 *a, uint32_t *labels) {
    x86_op(a, X86_MOV_STORE | X86_W, HOST_B, cpu_at(CPU_AT(spill)));
    x86_op(a, X86_MOV_LOAD, HOST_B, cpu_at(CPU_AT(translated.stamp)));
    x86_op(a, X86_MOV_LOAD, HOST_B, x86_mem_index(RSP, HOST_B, 0, CPU_AT(translated.stamps)));
    x86_alu_imm(a, 4, 0, x86_reg(HOST_B), SOFT_EPOCHS - 1);
    x86_op_imm(a, X86_CODE(0, 0, 0x80), 7, x86_mem_index(RSP, HOST_B, 0, CPU_AT(translated.lives)), 0, 1);
    x86_branch(a, CC_E, NOT_FOUND);
    dbt_find_target(a, SOFT_VIEW_USER, NOT_FOUND);
    x86_alu_imm(a, 4, X86_W, x86_reg(HOST_A), -(int32_t)VM_PAGE);
    x86_op(a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_mem(HOST_B, offsetof(struct soft_target, code)));
    labels[NOT_FOUND] = (uint32_t)a->size;
    x86_op(a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(spill)));
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.exit)));
}

/* Called with an instruction in r11; rax goes. C code runs on the stack that `enter` came from. */
static void make_step(struct x86 *a, const struct soft_translator *translator, uint32_t *labels) {
    enum { RETURN = 8 };
    union {
        uint32_t (*function)(struct soft_cpu *cpu, const struct soft_insn *insn);
        uint64_t address;
    } step = {dbt_step};
    move_guest(a, true, RETURN);
    save_registers(a, translator, labels, STEP_NOT_X87, STEP_SAVED, RETURN);
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
    branch_if_0(a, CPU_AT(x87) + RETURN, STEP_NO_X87_LOADED);
    load_x87(a, translator, STEP_LOADED, RETURN);
    x86_jump(a, STEP_LOADED);
    labels[STEP_NO_X87_LOADED] = (uint32_t)a->size;
    branch_if_0(a, CPU_AT(vectors) + RETURN, STEP_LOADED);
    load_vectors(a, translator, STEP_LOADED, RETURN);
    labels[STEP_LOADED] = (uint32_t)a->size;
    move_guest(a, false, RETURN);
    x86_bytes(a, 0xC3, 1);
    labels[ENDED] = (uint32_t)a->size;
    clear_byte(a, CPU_AT(vectors) + RETURN);
    clear_byte(a, CPU_AT(x87) + RETURN);
    x86_const(a, RAX, LEFT_STEP);
    leave(a, RETURN);
}

/* Jumped to with an instruction in r11 and its block in rax: all that follows is C's. */
static void make_rest(struct x86 *a, const struct soft_translator *translator, uint32_t *labels) {
    union {
        void (*function)(struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_block *block);
        uint64_t address;
    } rest = {dbt_rest};
    move_guest(a, true, 0);
    x86_op(a, X86_MOV_LOAD | X86_W, RDX, x86_reg(RAX));
    save_registers(a, translator, labels, REST_NOT_X87, REST_SAVED, 0);
    clear_byte(a, CPU_AT(vectors));
    clear_byte(a, CPU_AT(x87));
    x86_op(a, X86_MOV_LOAD | X86_W, RBX, x86_reg(RSP));
    x86_op(a, X86_LEA | X86_W, RDI, x86_mem(RSP, -(int32_t)offsetof(struct soft_cpu, page_base)));
    x86_op(a, X86_MOV_LOAD | X86_W, RSI, x86_reg(HOST_B));
    x86_op(a, X86_MOV_LOAD | X86_W, RSP, cpu_at(CPU_AT(translated.host_stack)));
    x86_alu_imm(a, 4, X86_W, x86_reg(RSP), -16);
    x86_const(a, RAX, rest.address);
    x86_op(a, X86_CODE(0, 0, 0xFF), 2, x86_reg(RAX));
    x86_op(a, X86_MOV_LOAD | X86_W, RSP, x86_reg(RBX));
    x86_const(a, RAX, LEFT_STEP);
    leave(a, 0);
}

bool dbt_make_thunks(struct soft_translator *translator) {
    struct x86 a;
    uint32_t labels[N_THUNK_LABELS], at[8];
    x86_init(&a, translator->alloc);
    at[0] = (uint32_t)a.size;
    make_enter(&a, translator, LOADS_NONE, labels, ENTER_LOADED);
    at[4] = (uint32_t)a.size;
    make_enter(&a, translator, LOADS_VECTORS, labels, ENTER_VECTORS_LOADED);
    at[6] = (uint32_t)a.size;
    make_enter(&a, translator, LOADS_X87, labels, ENTER_X87_LOADED);
    at[1] = (uint32_t)a.size;
    make_exit(&a, translator, labels);
    at[2] = (uint32_t)a.size;
    make_indirect(&a);
    at[3] = (uint32_t)a.size;
    make_step(&a, translator, labels);
    at[5] = (uint32_t)a.size;
    make_rest(&a, translator, labels);
    at[7] = (uint32_t)a.size;
    make_find(&a, labels);
    uint8_t *code = x86_finish(&a, labels) ? jit_memory_take(&translator->memory, a.size) : NULL;
    bool done = code && !jit_memory_write(&translator->memory, code, a.bytes, a.size);
    struct soft_translated *translated = &translator->cpu->translated;
    if (done) {
        translator->enter[LOADS_NONE] = code + at[0];
        translator->enter[LOADS_VECTORS] = code + at[4];
        translator->enter[LOADS_X87] = code + at[6];
        translated->exit = code + at[1];
        translated->indirect = code + at[2];
        translated->step = code + at[3];
        translated->rest = code + at[5];
        translated->find = code + at[7];
        translator->thunks = code;
        translator->n_thunks = a.size;
        dbt_tell(translator, NULL, code, a.size);
    }
    x86_fini(&a);
    return done;
}
