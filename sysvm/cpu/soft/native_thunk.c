/* sysvm/cpu/soft/native_thunk.c: a form as host code.
 *
 *   void code(struct native_frame *frame)        rdi: frame, kept in r8
 *   ldmxcsr                                       the guest's rounding, all exceptions masked
 *   load the registers of the form from frame->in, gpr_in; lea rdi, frame->memory; popfq
 *   the instruction
 *   pushfq; store the registers that it may write; stmxcsr; ldmxcsr of the host; clean up
 * x87 forms load the guest's whole FXSAVE image, its control word too: an exception that the guest does not mask is
 * pending in the image afterwards, and the host's unit, set up anew, never meets it.
 * All registers used are ones that a called function may change. */
#include <string.h>
#include "sysvm/cpu/soft/native.h"

struct code {
    uint8_t *bytes;
    unsigned n;
};

static void put(struct code *c, unsigned byte) { c->bytes[c->n++] = (uint8_t)byte; }

static void put_bytes(struct code *c, const void *bytes, unsigned n) {
    memcpy(c->bytes + c->n, bytes, n);
    c->n += n;
}

#define PUT(c, ...)                                                                                          \
    do {                                                                                                     \
        static const uint8_t literal[] = {__VA_ARGS__};                                                      \
        put_bytes(c, literal, sizeof literal);                                                               \
    } while (0)

/* ModRM and displacement of [r8 + at]. */
static void put_frame(struct code *c, unsigned reg, size_t at) {
    int32_t distance = (int32_t)at;
    put(c, 0x80 | (reg & 7) << 3);
    put_bytes(c, &distance, 4);
}

/* ---- registers ---- */

static void move_vector(struct code *c, const struct native_form *form, const struct native_operand *operand,
                        bool store, size_t at) {
    unsigned reg = operand->slot;
    if (operand->kind == SOFT_MM) { /* movq */
        PUT(c, 0x41, 0x0F);
        put(c, store ? 0x7F : 0x6F);
    } else if (form->vex) { /* vmovdqu */
        PUT(c, 0xC4, 0xC1);
        put(c, operand->kind == SOFT_YMM ? 0x7E : 0x7A);
        put(c, store ? 0x7F : 0x6F);
    } else { /* movups */
        PUT(c, 0x41, 0x0F);
        put(c, store ? 0x11 : 0x10);
    }
    put_frame(c, reg, at);
}

static void move_gpr(struct code *c, unsigned gpr, bool store, size_t at) {
    unsigned reg = gpr < GPR_REG ? gpr : gpr - GPR_REG + 9;
    put(c, 0x49 | (reg >> 3) << 2);
    put(c, store ? 0x89 : 0x8B);
    put_frame(c, reg, at);
}

static void move_operand(struct code *c, const struct native_form *form, const struct native_operand *o,
                         bool store) {
    if (o->kind == SOFT_GPR)
        move_gpr(c, o->slot, store,
                 (store ? offsetof(struct native_frame, gpr_out) : offsetof(struct native_frame, gpr_in)) +
                     o->slot * sizeof(uint64_t));
    else
        move_vector(c, form, o, store,
                    (store ? offsetof(struct native_frame, out) : offsetof(struct native_frame, in)) +
                        (size_t)o->slot * NATIVE_VECTOR_BYTES);
}

/* ---- parts ---- */

static void put_mxcsr(struct code *c, bool store, size_t at) {
    PUT(c, 0x41, 0x0F, 0xAE);
    put_frame(c, store ? 3 : 2, at);
}

static void load_flags(struct code *c) {
    PUT(c, 0x41, 0xFF); /* push */
    put_frame(c, 6, offsetof(struct native_frame, flags_in));
    put(c, 0x9D);
}

static void store_flags(struct code *c) {
    PUT(c, 0x9C, 0x41, 0x8F); /* pushfq, pop */
    put_frame(c, 0, offsetof(struct native_frame, flags_out));
}

static void load_memory_address(struct code *c) {
    PUT(c, 0x49, 0x8D); /* lea rdi */
    put_frame(c, 7, offsetof(struct native_frame, memory));
}

static void emit_x87(const struct native_form *form, struct code *c) {
    put_mxcsr(c, true, offsetof(struct native_frame, host_mxcsr));
    PUT(c, 0x4D, 0x8B); /* mov r9, [r8 + fp] */
    put_frame(c, 9, offsetof(struct native_frame, fp));
    PUT(c, 0x49, 0x0F, 0xAE, 0x09); /* fxrstor64 [r9] */
    if (form->memory_bytes) load_memory_address(c);
    if (form->flags) load_flags(c);
    put_bytes(c, form->key, form->n_key);
    if (form->flags) store_flags(c);
    PUT(c, 0x49, 0x0F, 0xAE, 0x01); /* fxsave64 [r9] */
    PUT(c, 0xDB, 0xE3);             /* fninit */
    put_mxcsr(c, false, offsetof(struct native_frame, host_mxcsr));
    put(c, 0xC3);
}

static void emit_vector(const struct native_form *form, struct code *c) {
    if (form->mxcsr) {
        put_mxcsr(c, true, offsetof(struct native_frame, host_mxcsr));
        put_mxcsr(c, false, offsetof(struct native_frame, mxcsr_in));
    }
    for (unsigned i = 0; i < form->n_operands; i++) move_operand(c, form, form->operands + i, false);
    if (form->memory_bytes) load_memory_address(c);
    if (form->flags) load_flags(c);
    put_bytes(c, form->key, form->n_key);
    if (form->flags) store_flags(c);
    for (unsigned i = 0; i < form->n_operands; i++)
        if (form->operands[i].is_out) move_operand(c, form, form->operands + i, true);
    if (form->mxcsr) {
        put_mxcsr(c, true, offsetof(struct native_frame, mxcsr_out));
        put_mxcsr(c, false, offsetof(struct native_frame, host_mxcsr));
    }
    if (form->is_mmx) PUT(c, 0x0F, 0x77);     /* emms */
    if (form->wide) PUT(c, 0xC5, 0xF8, 0x77); /* vzeroupper */
    put(c, 0xC3);
}

unsigned native_emit(const struct native_form *form, uint8_t out[NATIVE_CODE_MAX]) {
    struct code c = {out, 0};
    PUT(&c, 0x49, 0x89, 0xF8); /* mov r8, rdi */
    if (form->is_x87)
        emit_x87(form, &c);
    else
        emit_vector(form, &c);
    return c.n;
}
