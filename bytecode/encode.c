/* bytecode/encode.c: types and instructions to bytes (encode.h). */
#include "bytecode/encode.h"
#include "bytecode/reader.h"

const struct bc_heap_info bc_heap_infos[BC_N_HEAPS] = {
    {"any", "anyref", 0x6E},       {"eq", "eqref", 0x6D},
    {"i31", "i31ref", 0x6C},       {"struct", "structref", 0x6B},
    {"array", "arrayref", 0x6A},   {"none", "nullref", 0x71},
    {"func", "funcref", 0x70},     {"nofunc", "nullfuncref", 0x73},
    {"extern", "externref", 0x6F}, {"noextern", "nullexternref", 0x72},
    {"exn", "exnref", 0x69},       {"noexn", "nullexnref", 0x74}};

const char *const bc_section_words[14] = {"",       "type",  "import", "func", "table", "memory",    "global",
                                          "export", "start", "elem",   "code", "data",  "datacount", "tag"};

/* ---- types ---- */

void bc_put_heaptype(struct bc_buf *out, uint32_t heap) {
    if (heap >= BC_HEAP_ABSTRACT)
        bc_buf_u8(out, bc_heap_infos[heap - BC_HEAP_ABSTRACT].code);
    else
        bc_buf_s64(out, heap);
}

void bc_put_valtype(struct bc_buf *out, bc_valtype t) {
    static const uint8_t codes[] = {0, 0x7F, 0x7E, 0x7D, 0x7C, 0x7B};
    if (bc_valtype_kind(t) == BC_KIND_PACKED) {
        bc_buf_u8(out, t == BC_I8 ? 0x78 : 0x77);
    } else if (!bc_valtype_is_ref(t)) {
        bc_buf_u8(out, codes[bc_valtype_kind(t)]);
    } else if (bc_valtype_nullable(t) && bc_valtype_heap(t) >= BC_HEAP_ABSTRACT) {
        bc_put_heaptype(out, bc_valtype_heap(t));
    } else {
        bc_buf_u8(out, bc_valtype_nullable(t) ? 0x63 : 0x64);
        bc_put_heaptype(out, bc_valtype_heap(t));
    }
}

void bc_put_limits(struct bc_buf *out, const struct bc_limits *l, bool is_memory) {
    bool has_page = is_memory && l->page_size_log2 != 16;
    bc_buf_u8(out, (uint8_t)(l->has_max | l->shared << 1 | l->is64 << 2 | has_page << 3));
    bc_buf_u64(out, l->min);
    if (l->has_max) bc_buf_u64(out, l->max);
    if (has_page) bc_buf_u32(out, l->page_size_log2);
}

void bc_put_name(struct bc_buf *out, struct bc_name name) {
    bc_buf_u32(out, name.size);
    bc_buf_bytes(out, name.bytes, name.size);
}

static void put_valtypes(struct bc_buf *out, const bc_valtype *types, uint32_t n) {
    bc_buf_u32(out, n);
    for (uint32_t i = 0; i < n; i++) bc_put_valtype(out, types[i]);
}

void bc_put_type(struct bc_buf *out, const struct bc_type *t) {
    if (!t->final || t->super != BC_NONE) {
        bc_buf_u8(out, t->final ? 0x4F : 0x50);
        bc_buf_u32(out, t->super != BC_NONE);
        if (t->super != BC_NONE) bc_buf_u32(out, t->super);
    }
    bc_buf_u8(out, t->form == BC_TYPE_FUNC ? 0x60 : t->form == BC_TYPE_STRUCT ? 0x5F : 0x5E);
    if (t->form == BC_TYPE_FUNC) {
        put_valtypes(out, t->params, t->n_params);
        put_valtypes(out, t->results, t->n_results);
        return;
    }
    if (t->form == BC_TYPE_STRUCT) bc_buf_u32(out, t->n_fields);
    for (uint32_t i = 0; i < t->n_fields; i++) {
        bc_put_valtype(out, t->fields[i].type);
        bc_buf_u8(out, t->fields[i].mutable);
    }
}

/* ---- instructions ---- */

void bc_put_op(struct bc_buf *out, enum bc_op op) {
    const struct bc_op_info *info = &bc_op_infos[op];
    if (info->prefix) bc_buf_u8(out, info->prefix);
    if (info->prefix)
        bc_buf_u32(out, info->code);
    else
        bc_buf_u8(out, (uint8_t)info->code);
}

static void put_blocktype(struct bc_buf *out, uint32_t t) {
    if (t == BC_BLOCK_EMPTY)
        bc_buf_u8(out, 0x40);
    else if (t & BC_BLOCK_TYPE_INDEX)
        bc_buf_s64(out, t & ~BC_BLOCK_TYPE_INDEX);
    else
        bc_put_valtype(out, t);
}

static void put_memarg(struct bc_buf *out, const struct bc_instr *in) {
    bc_buf_u32(out, in->align | (in->index ? 0x40u : 0));
    if (in->index) bc_buf_u32(out, in->index);
    bc_buf_u64(out, in->memarg_offset);
}

static void put_br_table(struct bc_buf *out, const struct bc_module *m, const struct bc_instr *in) {
    uint32_t at = in->at;
    bc_buf_u32(out, in->count);
    for (uint32_t i = 0; i <= in->count && !out->failed; i++) bc_buf_u32(out, bc_read_u32(m, &at));
}

static void put_select(struct bc_buf *out, const struct bc_module *m, const struct bc_instr *in) {
    struct bc_reader r = {
        .bytes = m->bytes, .at = in->at, .end = in->next, .n_types = m->n_types, .features = ~UINT64_C(0)};
    bc_buf_u32(out, in->count);
    for (uint32_t i = 0; i < in->count && !out->failed; i++) bc_put_valtype(out, bc_reader_valtype(&r));
}

static void put_catches(struct bc_buf *out, const struct bc_module *m, const struct bc_instr *in) {
    uint32_t at = in->at;
    bc_buf_u32(out, in->count);
    for (uint32_t i = 0; i < in->count && !out->failed; i++) {
        struct bc_catch c = bc_read_catch(m, &at);
        bc_buf_u8(out, c.kind);
        if (c.kind < 2) bc_buf_u32(out, c.tag);
        bc_buf_u32(out, c.label);
    }
}

void bc_put_instr(struct bc_buf *out, const struct bc_module *m, const struct bc_instr *in) {
    bc_put_op(out, in->op);
    switch ((enum bc_imm)bc_op_infos[in->op].immediates) {
    case BC_IMM_NONE: break;
    case BC_IMM_BLOCK: put_blocktype(out, in->block_type); break;
    case BC_IMM_LABEL:
    case BC_IMM_FUNC:
    case BC_IMM_TYPE:
    case BC_IMM_TAG:
    case BC_IMM_LOCAL:
    case BC_IMM_GLOBAL:
    case BC_IMM_TABLE:
    case BC_IMM_ELEM:
    case BC_IMM_DATA:
    case BC_IMM_MEMORY: bc_buf_u32(out, in->index); break;
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
        bc_buf_u32(out, in->index);
        bc_buf_u32(out, in->index2);
        break;
    case BC_IMM_BR_TABLE: put_br_table(out, m, in); break;
    case BC_IMM_SELECT: put_select(out, m, in); break;
    case BC_IMM_TRY_TABLE:
        put_blocktype(out, in->block_type);
        put_catches(out, m, in);
        break;
    case BC_IMM_MEMARG: put_memarg(out, in); break;
    case BC_IMM_MEMARG_LANE:
        put_memarg(out, in);
        bc_buf_u8(out, in->lane);
        break;
    case BC_IMM_LANE: bc_buf_u8(out, in->lane); break;
    case BC_IMM_SHUFFLE:
    case BC_IMM_V128: bc_buf_bytes(out, in->v128, 16); break;
    case BC_IMM_I32: bc_buf_s64(out, in->i32); break;
    case BC_IMM_I64: bc_buf_s64(out, in->i64); break;
    case BC_IMM_F32: bc_buf_fixed(out, in->f32_bits, 4); break;
    case BC_IMM_F64: bc_buf_fixed(out, in->f64_bits, 8); break;
    case BC_IMM_HEAP_TYPE: bc_put_heaptype(out, in->heap_type); break;
    case BC_IMM_BR_CAST:
        bc_buf_u8(out, in->lane);
        bc_buf_u32(out, in->index);
        bc_put_heaptype(out, in->heap_type);
        bc_put_heaptype(out, in->heap_type2);
        break;
    case BC_IMM_FENCE: bc_buf_u8(out, 0); break;
    }
}
