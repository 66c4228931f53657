/* bytecode/instr.c: one instruction of the binary format, decoded by the table. */
#include "bytecode/reader.h"
#include "bytecode/internal.h"

/* Opcode + 1 by prefix (row 0: none, rows 1 to 4: 0xFB to 0xFE) and code; 0 = no such instruction. */
#define ROW(prefix) ((prefix) == 0 ? 0 : (prefix)-0xFA)
static const uint16_t op_of_code[5][0x114] = {
#define OP(id, prefix, code, ...) [ROW(prefix)][code] = BC_##id + 1,
#include "bytecode/opcodes.def"
#undef OP
};

static bool illegal(struct bc_reader *r, uint32_t at, uint8_t prefix, uint32_t code) {
    if (prefix)
        bc_reader_fail(r, ATOLL_E_MALFORMED, at, "illegal opcode %02x %02x", prefix, code);
    else
        bc_reader_fail(r, ATOLL_E_MALFORMED, at, "illegal opcode %02x", code);
    return false;
}

static bool read_opcode(struct bc_reader *r, struct bc_instr *out) {
    uint32_t start = r->at;
    uint8_t byte = bc_reader_u8(r);
    if (r->status) return false;
    unsigned op;
    if (byte < 0xFB || byte == 0xFF) {
        op = op_of_code[0][byte];
        if (!op) return illegal(r, start, 0, byte);
    } else {
        uint32_t code = bc_reader_u32(r);
        if (r->status) return false;
        op = code < 0x114 ? op_of_code[ROW(byte)][code] : 0;
        if (!op) return illegal(r, start, byte, code);
    }
    out->op = (enum bc_op)(op - 1);
    out->offset = start;
    return true;
}

static void read_memarg(struct bc_reader *r, struct bc_instr *out) {
    uint32_t start = r->at;
    uint32_t flags = bc_reader_u32(r);
    if (flags >= 0x80) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed memop flags");
    out->align = (uint8_t)(flags & 0x3F);
    out->index = flags & 0x40 ? bc_reader_u32(r) : 0;
    out->memarg_offset = bc_reader_u64(r);
}

static void read_br_table(struct bc_reader *r, struct bc_instr *out) {
    uint32_t n = bc_reader_count(r, 1, BC_MAX_BR_TABLE, "labels of a br_table");
    out->count = n;
    out->at = r->at;
    for (uint32_t i = 0; i < n && !r->status; i++) bc_reader_u32(r);
    out->index = bc_reader_u32(r);
}

static void read_select(struct bc_reader *r, struct bc_instr *out) {
    uint32_t n = bc_reader_count(r, 1, BC_MAX_RESULTS, "types of a select");
    out->count = n;
    out->at = r->at;
    for (uint32_t i = 0; i < n && !r->status; i++) {
        bc_valtype t = bc_reader_valtype(r);
        if (i == 0) out->valtype = t;
    }
}

static struct bc_catch read_catch(struct bc_reader *r) {
    struct bc_catch c = {.tag = BC_NONE};
    uint32_t start = r->at;
    c.kind = bc_reader_u8(r);
    if (c.kind > 3) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed catch clause");
    if (c.kind < 2) c.tag = bc_reader_u32(r);
    c.label = bc_reader_u32(r);
    return c;
}

static void read_try_table(struct bc_reader *r, struct bc_instr *out) {
    out->block_type = bc_reader_blocktype(r);
    uint32_t n = bc_reader_count(r, 2, UINT32_MAX, "catch clauses");
    out->count = n;
    out->at = r->at;
    for (uint32_t i = 0; i < n && !r->status; i++) read_catch(r);
}

static void read_br_cast(struct bc_reader *r, struct bc_instr *out) {
    uint32_t start = r->at;
    out->lane = bc_reader_u8(r);
    if (out->lane > 3) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed br_on_cast flags");
    out->index = bc_reader_u32(r);
    out->heap_type = bc_reader_heaptype(r);
    out->heap_type2 = bc_reader_heaptype(r);
}

static void read_fence(struct bc_reader *r) {
    uint32_t start = r->at;
    if (bc_reader_u8(r)) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "zero byte expected");
}

static void read_immediates(struct bc_reader *r, struct bc_instr *out) {
    switch ((enum bc_imm)bc_op_infos[out->op].immediates) {
    case BC_IMM_NONE: break;
    case BC_IMM_BLOCK: out->block_type = bc_reader_blocktype(r); break;
    case BC_IMM_LABEL:
    case BC_IMM_FUNC:
    case BC_IMM_TYPE:
    case BC_IMM_TAG:
    case BC_IMM_LOCAL:
    case BC_IMM_GLOBAL:
    case BC_IMM_TABLE:
    case BC_IMM_ELEM:
    case BC_IMM_DATA:
    case BC_IMM_MEMORY: out->index = bc_reader_u32(r); break;
    case BC_IMM_CALL_INDIRECT:
    case BC_IMM_TABLE_TABLE:
    case BC_IMM_ELEM_TABLE:
    case BC_IMM_DATA_MEMORY:
    case BC_IMM_MEMORY_MEMORY:
    case BC_IMM_TYPE_FIELD:
    case BC_IMM_TYPE_COUNT:
    case BC_IMM_TYPE_TYPE:
    case BC_IMM_TYPE_DATA:
    case BC_IMM_TYPE_ELEM:
        out->index = bc_reader_u32(r);
        out->index2 = bc_reader_u32(r);
        break;
    case BC_IMM_BR_TABLE: read_br_table(r, out); break;
    case BC_IMM_SELECT: read_select(r, out); break;
    case BC_IMM_TRY_TABLE: read_try_table(r, out); break;
    case BC_IMM_MEMARG: read_memarg(r, out); break;
    case BC_IMM_MEMARG_LANE:
        read_memarg(r, out);
        out->lane = bc_reader_u8(r);
        break;
    case BC_IMM_LANE: out->lane = bc_reader_u8(r); break;
    case BC_IMM_SHUFFLE:
    case BC_IMM_V128: bc_reader_copy(r, out->v128, 16); break;
    case BC_IMM_I32: out->i32 = (int32_t)bc_reader_sleb(r, 32); break;
    case BC_IMM_I64: out->i64 = bc_reader_sleb(r, 64); break;
    case BC_IMM_F32: bc_reader_copy(r, &out->f32_bits, 4); break;
    case BC_IMM_F64: bc_reader_copy(r, &out->f64_bits, 8); break;
    case BC_IMM_HEAP_TYPE: out->heap_type = bc_reader_heaptype(r); break;
    case BC_IMM_BR_CAST: read_br_cast(r, out); break;
    case BC_IMM_FENCE: read_fence(r); break;
    }
}

bool bc_reader_instr(struct bc_reader *r, struct bc_instr *out) {
    if (!read_opcode(r, out)) return false;
    read_immediates(r, out);
    out->next = r->at;
    return r->status == ATOLL_OK;
}

enum atoll_status bc_decode_instr(const struct bc_module *m, uint32_t at, uint32_t end, struct bc_instr *out,
                                  struct atoll_error *err) {
    struct bc_reader r = {
        .bytes = m->bytes, .at = at, .end = end, .n_types = m->n_types, .features = ~UINT64_C(0), .err = err};
    bc_reader_instr(&r, out);
    return r.status;
}

uint32_t bc_read_u32(const struct bc_module *m, uint32_t *at) {
    struct bc_reader r = {.bytes = m->bytes, .at = *at, .end = (uint32_t)m->n_bytes};
    uint32_t value = bc_reader_u32(&r);
    *at = r.at;
    return value;
}

struct bc_catch bc_read_catch(const struct bc_module *m, uint32_t *at) {
    struct bc_reader r = {.bytes = m->bytes, .at = *at, .end = (uint32_t)m->n_bytes};
    struct bc_catch c = read_catch(&r);
    *at = r.at;
    return c;
}

bc_valtype bc_local_type(const struct bc_module *m, uint32_t func, uint32_t index) {
    const struct bc_func *f = &m->funcs[func];
    const struct bc_type *t = &m->types[f->type];
    if (index < t->n_params) return t->params[index];
    return bc_run_type(f, index - t->n_params);
}

bc_valtype bc_run_type(const struct bc_func *f, uint32_t index) {
    const uint32_t *ends = bc_run_ends(f);
    uint32_t low = 0, high = f->n_local_runs; /* the first run that ends behind `index` */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ends[middle] > index)
            high = middle;
        else
            low = middle + 1;
    }
    return low < f->n_local_runs ? f->local_runs[low].type : BC_BOTTOM;
}

void bc_block_signature(const struct bc_module *m, uint32_t block_type, struct bc_block_sig *out) {
    *out = (struct bc_block_sig){0};
    if (block_type == BC_BLOCK_EMPTY) return;
    if (block_type & BC_BLOCK_TYPE_INDEX) {
        const struct bc_type *t = &m->types[block_type & ~BC_BLOCK_TYPE_INDEX];
        out->n_params = t->n_params;
        out->n_results = t->n_results;
        out->params = t->params;
        out->results = t->results;
    } else {
        out->scratch = block_type;
        out->n_results = 1;
        out->results = &out->scratch;
    }
}
