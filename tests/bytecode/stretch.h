/* tests/bytecode/stretch.h: the same module in more bytes than it needs: LEB128s with padding, locals of one
 * type in several runs, runs of no locals. Writers of the tools leave such bytes where they patch numbers in
 * later. */
#ifndef ATOLL_TESTS_STRETCH_H
#define ATOLL_TESTS_STRETCH_H

#include "bytecode/bytecode.h"
#include "bytecode/decode.h"
#include "bytecode/encode.h"

#define STRETCHED_BYTES 5 /* as many as every LEB128 of 32 bits may have */

/* Copies the LEB128 at *at, padded, and moves *at behind it. Returns its value when it is unsigned. */
static inline uint64_t stretch_leb(struct bc_buf *out, const uint8_t *bytes, size_t *at, bool is_signed) {
    uint64_t value = 0;
    unsigned n = 0;
    uint8_t byte;
    do {
        byte = bytes[(*at)++];
        value |= n < 10 ? (uint64_t)(byte & 0x7F) << 7 * n : 0;
        n++;
        bc_buf_u8(out, byte | (byte & 0x80 || n < STRETCHED_BYTES ? 0x80 : 0));
    } while (byte & 0x80);
    uint8_t padding = is_signed && byte & 0x40 ? 0x7F : 0;
    for (; n < STRETCHED_BYTES; n++) bc_buf_u8(out, n + 1 < STRETCHED_BYTES ? padding | 0x80 : padding);
    return value;
}

static inline void stretch_u32(struct bc_buf *out, uint32_t value) {
    for (unsigned n = 1; n < STRETCHED_BYTES; n++, value >>= 7) bc_buf_u8(out, (uint8_t)(value | 0x80));
    bc_buf_u8(out, (uint8_t)value);
}

/* Instructions whose immediates are LEB128s and nothing else. */
static inline bool stretches(enum bc_op op, bool *out_signed) {
    enum bc_imm kind = (enum bc_imm)bc_op_infos[op].immediates;
    *out_signed = kind == BC_IMM_I32 || kind == BC_IMM_I64;
    switch (kind) {
    case BC_IMM_NONE:
    case BC_IMM_BLOCK: /* mostly one byte that is a type, not a number */
    case BC_IMM_SELECT:
    case BC_IMM_TRY_TABLE:
    case BC_IMM_MEMARG_LANE:
    case BC_IMM_LANE:
    case BC_IMM_SHUFFLE:
    case BC_IMM_V128:
    case BC_IMM_F32:
    case BC_IMM_F64:
    case BC_IMM_HEAP_TYPE:
    case BC_IMM_BR_CAST:
    case BC_IMM_FENCE: return false;
    default: return true;
    }
}

static inline void stretch_instr(struct bc_buf *out, const struct bc_module *m, const struct bc_instr *in) {
    bool is_signed;
    size_t at = in->offset;
    bool all = stretches(in->op, &is_signed);
    bc_buf_u8(out, m->bytes[at++]);
    if (bc_op_infos[in->op].prefix) stretch_leb(out, m->bytes, &at, false);
    while (all && at < in->next) stretch_leb(out, m->bytes, &at, is_signed);
    bc_buf_bytes(out, m->bytes + at, in->next - at);
}

static inline void stretch_locals(struct bc_buf *out, const struct bc_func *f) {
    uint32_t n = 1;
    for (uint32_t k = 0; k < f->n_local_runs; k++) n += f->local_runs[k].count > 1 ? 3 : 1;
    stretch_u32(out, n);
    for (uint32_t k = 0; k < f->n_local_runs; k++) {
        const struct bc_local_run *run = f->local_runs + k;
        stretch_u32(out, run->count > 1 ? run->count - 1 : run->count);
        bc_put_valtype(out, run->type);
        if (run->count <= 1) continue;
        stretch_u32(out, 0);
        bc_put_valtype(out, BC_I64);
        stretch_u32(out, 1);
        bc_put_valtype(out, run->type);
    }
    stretch_u32(out, 0);
    bc_put_valtype(out, BC_F32);
}

/* False: an instruction could not be decoded. */
static inline bool stretch_body(struct bc_buf *out, const struct bc_module *m, const struct bc_func *f) {
    uint32_t at = f->code_offset, end = f->body.offset + f->body.size;
    struct bc_instr in;
    stretch_locals(out, f);
    for (; at < end; at = in.next) {
        if (bc_decode_instr(m, at, end, &in, NULL)) return false;
        stretch_instr(out, m, &in);
    }
    return true;
}

static inline bool stretch_code(struct bc_buf *out, const struct bc_module *m) {
    struct bc_buf body;
    bool ok = true;
    bc_buf_init(&body, out->alloc);
    stretch_u32(out, m->n_funcs - m->n_imported_funcs);
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs && ok; i++) {
        body.size = 0;
        ok = stretch_body(&body, m, m->funcs + i);
        stretch_u32(out, (uint32_t)body.size);
        bc_buf_bytes(out, body.data, body.size);
    }
    bc_buf_fini(&body);
    return ok;
}

/* Appends the stretched form of a module in shortest form. False: a body holds what cannot be decoded. */
static inline bool stretch_module(struct bc_buf *out, const struct bc_module *m) {
    struct bc_buf section;
    bool ok = true;
    bc_buf_init(&section, out->alloc);
    bc_buf_bytes(out, m->bytes, 8);
    for (size_t at = 8; at < m->n_bytes && ok;) {
        struct bc_buf ignored;
        bc_buf_init(&ignored, out->alloc);
        uint8_t id = m->bytes[at++];
        size_t size = (size_t)stretch_leb(&ignored, m->bytes, &at, false), end = at + size;
        bc_buf_fini(&ignored);
        section.size = 0;
        if (id == BC_SECTION_CODE)
            ok = stretch_code(&section, m);
        else /* a count, the size of a name or an index stands first */
            stretch_leb(&section, m->bytes, &at, false);
        if (id != BC_SECTION_CODE) bc_buf_bytes(&section, m->bytes + at, end - at);
        at = end;
        bc_buf_u8(out, id);
        stretch_u32(out, (uint32_t)section.size);
        bc_buf_bytes(out, section.data, section.size);
    }
    bc_buf_fini(&section);
    return ok;
}

#endif
