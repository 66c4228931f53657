/* jit/unwind.c: how a debugger gets from compiled code, or from a thunk, to its caller: DWARF's call frame instructions.
 * They belong behind a CIE with data in steps of -8 bytes, rsp + 8 as the frame's end and the return address below it.
 * source  DWARF Debugging Information Format 5, "Call Frame Information"; System V ABI for AMD64, "DWARF Register Number
 *         Mapping" */
#include <string.h>
#include "jit/engine.h"

enum {
    ADVANCE1 = 0x02,
    ADVANCE4 = 0x04,
    UNDEFINED = 0x07,
    REMEMBER_STATE = 0x0A,
    RESTORE_STATE = 0x0B,
    DEF_CFA = 0x0C,
    OFFSET = 0x80,
    RESTORE = 0xC0
};
#define CALL_BYTES  5
#define MOST_A_CALL (5 + 1 + 3 + JIT_N_SAVED + 2 + 1)

static void put(struct jit_unwind *u, uint8_t byte) {
    if (u->n < sizeof u->bytes) u->bytes[u->n] = byte;
    u->n++;
}

static void put_leb(struct jit_unwind *u, uint32_t value) {
    for (; value > 0x7F; value >>= 7) put(u, (uint8_t)(value | 0x80));
    put(u, (uint8_t)value);
}

static uint8_t number_of(int reg) {
    static const uint8_t numbers[] = {
        [RAX] = 0, [RCX] = 2, [RDX] = 1, [RBX] = 3, [RSP] = 7, [RBP] = 6, [RSI] = 4, [RDI] = 5};
    return reg < 8 ? numbers[reg] : (uint8_t)reg;
}

void jit_unwind_at(struct jit_unwind *u, uint32_t at) {
    uint32_t distance = at - u->at;
    if (!distance) return;
    put(u, distance < 256 ? ADVANCE1 : ADVANCE4);
    for (unsigned i = 0; i < (distance < 256 ? 1u : 4u); i++) put(u, (uint8_t)(distance >> (8 * i)));
    u->at = at;
}

void jit_unwind_end(struct jit_unwind *u, int reg, uint32_t distance) {
    put(u, DEF_CFA);
    put_leb(u, number_of(reg));
    put_leb(u, distance);
}

void jit_unwind_kept(struct jit_unwind *u, int reg, uint32_t below) {
    put(u, (uint8_t)(OFFSET | number_of(reg)));
    put_leb(u, below / 8);
}

void jit_unwind_lost(struct jit_unwind *u, int reg) {
    put(u, UNDEFINED);
    put_leb(u, number_of(reg));
}

/* The call at a place that belongs to code without the frame, as ways to traps do which stand behind all code. */
static void frameless_call(struct jit_unwind *u, const struct jit_code *code, uint32_t returns_to) {
    jit_unwind_at(u, returns_to - CALL_BYTES);
    put(u, REMEMBER_STATE);
    jit_unwind_end(u, RSP, 8);
    for (unsigned i = 0; i < JIT_N_SAVED; i++)
        if (code->used_saved >> jit_saved_registers[i] & 1)
            put(u, (uint8_t)(RESTORE | number_of(jit_saved_registers[i])));
    jit_unwind_at(u, returns_to);
    put(u, RESTORE_STATE);
}

static void frameless_calls(struct jit_unwind *u, const struct jit_code *code) {
    for (uint32_t i = 0; i < code->n_pcs && u->n + MOST_A_CALL <= sizeof u->bytes; i++) {
        const struct jit_pc *pc = code->pcs + i;
        if (pc->where & JIT_NO_FRAME && pc->at >= u->at + CALL_BYTES) frameless_call(u, code, pc->at);
    }
}

/* As emit.c's prologue has it: pushes, then one subtraction. */
void jit_unwind_function(struct jit_unwind *u, const struct jit_code *code) {
    uint32_t at = code->pushes_at, distance = 8;
    *u = (struct jit_unwind){0};
    for (unsigned i = 0; i < JIT_N_SAVED; i++) {
        int reg = jit_saved_registers[i];
        if (!(code->used_saved >> reg & 1)) continue;
        at += reg >= 8 ? 2 : 1;
        distance += 8;
        jit_unwind_at(u, at);
        jit_unwind_end(u, RSP, distance);
        jit_unwind_kept(u, reg, distance);
    }
    uint32_t rest = code->frame_bytes + 8 - distance;
    if (rest) {
        jit_unwind_at(u, at + (rest <= INT8_MAX ? 4 : 7));
        jit_unwind_end(u, RSP, code->frame_bytes + 8);
    }
    frameless_calls(u, code);
}

void jit_tell_thunk(const struct rt_config *config, const char *name, const uint8_t *code, size_t n_bytes,
                    const struct jit_unwind *u) {
    const struct rt_placed_code placed = {
        .name = name, .code = code, .n_bytes = n_bytes, .unwind = u->bytes, .unwind_bytes = u->n};
    if (config->code_placed && u->n <= sizeof u->bytes) config->code_placed(&placed, 1);
}
