/* bytecode/text/print_instr.c: one instruction as text, by the opcode table. */
#include "bytecode/text/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- types ---- */

void print_heaptype(struct printer *p, uint32_t heap) {
    if (heap >= BC_HEAP_ABSTRACT)
        bc_buf_text(p->out, "%s", bc_heap_infos[heap - BC_HEAP_ABSTRACT].heap);
    else
        print_index(p, BC_NAMES_TYPE, heap);
}

static void print_reftype(struct printer *p, bool nullable, uint32_t heap) {
    if (nullable && heap >= BC_HEAP_ABSTRACT) {
        bc_buf_text(p->out, "%s", bc_heap_infos[heap - BC_HEAP_ABSTRACT].nullable);
        return;
    }
    bc_buf_text(p->out, "(ref %s", nullable ? "null " : "");
    print_heaptype(p, heap);
    bc_buf_u8(p->out, ')');
}

void print_valtype(struct printer *p, bc_valtype t) {
    static const char *const plain[] = {"", "i32", "i64", "f32", "f64", "v128"};
    if (bc_valtype_kind(t) == BC_KIND_PACKED)
        bc_buf_text(p->out, "i%u", bc_valtype_heap(t));
    else if (bc_valtype_is_ref(t))
        print_reftype(p, bc_valtype_nullable(t), bc_valtype_heap(t));
    else
        bc_buf_text(p->out, "%s", plain[bc_valtype_kind(t)]);
}

void print_types(struct printer *p, const char *word, const bc_valtype *types, uint32_t n) {
    if (!n) return;
    bc_buf_text(p->out, " (%s", word);
    for (uint32_t i = 0; i < n; i++) {
        bc_buf_u8(p->out, ' ');
        print_valtype(p, types[i]);
    }
    bc_buf_u8(p->out, ')');
}

/* ---- numbers ---- */

/* The shortest decimal form that reads back to the same bits. The point is whatever the locale has, so it is
 * put right behind the check. */
static void print_float(struct bc_buf *out, uint64_t bits, bool is64) {
    unsigned fraction_bits = is64 ? 52 : 23;
    uint64_t fraction = bits & ((UINT64_C(1) << fraction_bits) - 1), quiet = UINT64_C(1)
                                                                             << (fraction_bits - 1);
    bool negative = bits >> (is64 ? 63 : 31) & 1;
    uint64_t exponent = bits >> fraction_bits & (is64 ? 0x7FF : 0xFF);
    if (exponent == (is64 ? 0x7FF : 0xFF)) {
        bc_buf_text(out, "%s%s", negative ? "-" : "", fraction ? "nan" : "inf");
        if (fraction && fraction != quiet) bc_buf_text(out, ":0x%" PRIx64, fraction);
        return;
    }
    char text[40];
    double value64;
    float value32;
    uint32_t bits32 = (uint32_t)bits;
    memcpy(&value64, &bits, 8);
    memcpy(&value32, &bits32, 4);
    /* %g drops trailing zeros, so that normal numbers need no try below the digits they always keep */
    for (int precision = !exponent ? 1 : is64 ? 15 : 6; precision <= (is64 ? 17 : 9); precision++) {
        snprintf(text, sizeof text, "%.*g", precision, is64 ? value64 : (double)value32);
        if (is64 ? strtod(text, NULL) == value64 : strtof(text, NULL) == value32) break;
    }
    for (char *c = text; *c; c++)
        if (!strchr("0123456789+-e", *c)) *c = '.';
    bc_buf_text(out, "%s", text);
}

static void print_v128(struct printer *p, const uint8_t *bytes) {
    uint32_t lanes[4];
    memcpy(lanes, bytes, 16);
    bc_buf_text(p->out, " i32x4 0x%08x 0x%08x 0x%08x 0x%08x", lanes[0], lanes[1], lanes[2], lanes[3]);
}

/* ---- labels ---- */

static bool same(struct bc_name a, struct bc_name b) {
    return a.size == b.size && !memcmp(a.bytes, b.bytes, a.size);
}

/* By name where that name means this label: no block inside has it. Only so far in, to stay linear. */
static void print_label_ref(struct printer *p, uint32_t depth) {
    bc_buf_u8(p->out, ' ');
    const struct print_label *l = depth < p->n_labels ? &p->labels[p->n_labels - 1 - depth] : NULL;
    bool named = l && l->name.size && depth < 64;
    for (uint32_t i = 0; named && i < depth; i++) named = !same(p->labels[p->n_labels - 1 - i].name, l->name);
    if (named)
        print_id(p->out, l->name);
    else if (l)
        bc_buf_text(p->out, "%u (;@%zu;)", depth, p->n_labels - depth);
    else
        bc_buf_text(p->out, "%u", depth);
}

static void print_br_table(struct printer *p, const struct bc_instr *in) {
    uint32_t at = in->at;
    for (uint32_t i = 0; i <= in->count && print_ok(p); i++) print_label_ref(p, bc_read_u32(p->m, &at));
}

static void print_catches(struct printer *p, const struct bc_instr *in) {
    static const char *const words[] = {"catch", "catch_ref", "catch_all", "catch_all_ref"};
    uint32_t at = in->at;
    for (uint32_t i = 0; i < in->count && print_ok(p); i++) {
        struct bc_catch c = bc_read_catch(p->m, &at);
        bc_buf_text(p->out, " (%s", words[c.kind]);
        if (c.kind < 2) {
            bc_buf_u8(p->out, ' ');
            print_index(p, BC_NAMES_TAG, c.tag);
        }
        print_label_ref(p, c.label);
        bc_buf_u8(p->out, ')');
    }
}

static void print_blocktype(struct printer *p, uint32_t t) {
    struct bc_block_sig sig;
    if (t & BC_BLOCK_TYPE_INDEX && t != BC_BLOCK_EMPTY) {
        bc_buf_text(p->out, " (type ");
        print_index(p, BC_NAMES_TYPE, t & ~BC_BLOCK_TYPE_INDEX);
        bc_buf_u8(p->out, ')');
        uint32_t index = t & ~BC_BLOCK_TYPE_INDEX;
        if (index >= p->m->n_types || p->m->types[index].form != BC_TYPE_FUNC) return;
    }
    bc_block_signature(p->m, t, &sig);
    if (!print_repeats(sig.n_params, sig.n_results)) return;
    print_types(p, "param", sig.params, sig.n_params);
    print_types(p, "result", sig.results, sig.n_results);
}

/* ---- other immediates ---- */

static void spaced_index(struct printer *p, enum bc_name_space space, uint32_t index) {
    bc_buf_u8(p->out, ' ');
    print_index(p, space, index);
}

/* What the text may leave out when it is the first one. */
static void optional_index(struct printer *p, enum bc_name_space space, uint32_t index) {
    if (index || print_name(p, space, 0).size) spaced_index(p, space, index);
}

static void print_local(struct printer *p, uint32_t index) {
    struct bc_name_map map = {0};
    if (p->names && p->func != BC_NONE) map = bc_name_groups_find(&p->names->locals, p->func);
    const struct bc_name_entry *e = bc_name_map_find(&map, index);
    bc_buf_u8(p->out, ' ');
    if (e)
        print_id(p->out, (struct bc_name){e->bytes, e->size});
    else
        bc_buf_text(p->out, "%u", index);
}

static void print_field(struct printer *p, uint32_t type, uint32_t field) {
    struct bc_name_map map = {0};
    if (p->names) map = bc_name_groups_find(&p->names->fields, type);
    const struct bc_name_entry *e = bc_name_map_find(&map, field);
    bc_buf_u8(p->out, ' ');
    if (e)
        print_id(p->out, (struct bc_name){e->bytes, e->size});
    else
        bc_buf_text(p->out, "%u", field);
}

static void print_memarg(struct printer *p, const struct bc_instr *in) {
    optional_index(p, BC_NAMES_MEMORY, in->index);
    if (in->memarg_offset) bc_buf_text(p->out, " offset=%" PRIu64, in->memarg_offset);
    uint64_t align = UINT64_C(1) << in->align;
    if (align != bc_op_infos[in->op].access) bc_buf_text(p->out, " align=%" PRIu64, align);
}

static void print_select(struct printer *p, const struct bc_instr *in) {
    struct bc_reader r = {.bytes = p->m->bytes,
                          .at = in->at,
                          .end = in->next,
                          .n_types = p->m->n_types,
                          .features = ~UINT64_C(0)};
    bc_buf_text(p->out, " (result");
    for (uint32_t i = 0; i < in->count && print_ok(p); i++) {
        bc_buf_u8(p->out, ' ');
        print_valtype(p, bc_reader_valtype(&r));
    }
    bc_buf_u8(p->out, ')');
}

/* "table.init $table $elem": the segment, encoded first, is written second. */
static void print_segment_of(struct printer *p, enum bc_name_space segment, enum bc_name_space space,
                             const struct bc_instr *in) {
    optional_index(p, space, in->index2);
    spaced_index(p, segment, in->index);
}

static void print_pair(struct printer *p, enum bc_name_space space, const struct bc_instr *in) {
    if (!in->index && !in->index2) return;
    spaced_index(p, space, in->index);
    spaced_index(p, space, in->index2);
}

static void print_cast(struct printer *p, const struct bc_instr *in) {
    bc_buf_u8(p->out, ' ');
    if (in->op == BC_REF_NULL)
        print_heaptype(p, in->heap_type);
    else
        print_reftype(p, in->op == BC_REF_TEST_NULL || in->op == BC_REF_CAST_NULL, in->heap_type);
}

static void print_br_cast(struct printer *p, const struct bc_instr *in) {
    print_label_ref(p, in->index);
    bc_buf_u8(p->out, ' ');
    print_reftype(p, in->lane & 1, in->heap_type);
    bc_buf_u8(p->out, ' ');
    print_reftype(p, in->lane >> 1, in->heap_type2);
}

static void print_immediates(struct printer *p, const struct bc_instr *in) {
    switch ((enum bc_imm)bc_op_infos[in->op].immediates) {
    case BC_IMM_NONE:
    case BC_IMM_FENCE: break;
    case BC_IMM_BLOCK: print_blocktype(p, in->block_type); break;
    case BC_IMM_LABEL: print_label_ref(p, in->index); break;
    case BC_IMM_BR_TABLE: print_br_table(p, in); break;
    case BC_IMM_FUNC: spaced_index(p, BC_NAMES_FUNC, in->index); break;
    case BC_IMM_CALL_INDIRECT:
        optional_index(p, BC_NAMES_TABLE, in->index2);
        bc_buf_text(p->out, " (type ");
        print_index(p, BC_NAMES_TYPE, in->index);
        bc_buf_u8(p->out, ')');
        break;
    case BC_IMM_TYPE: spaced_index(p, BC_NAMES_TYPE, in->index); break;
    case BC_IMM_TAG: spaced_index(p, BC_NAMES_TAG, in->index); break;
    case BC_IMM_SELECT: print_select(p, in); break;
    case BC_IMM_TRY_TABLE:
        print_blocktype(p, in->block_type);
        print_catches(p, in);
        break;
    case BC_IMM_LOCAL: print_local(p, in->index); break;
    case BC_IMM_GLOBAL: spaced_index(p, BC_NAMES_GLOBAL, in->index); break;
    case BC_IMM_TABLE: optional_index(p, BC_NAMES_TABLE, in->index); break;
    case BC_IMM_MEMORY: optional_index(p, BC_NAMES_MEMORY, in->index); break;
    case BC_IMM_TABLE_TABLE: print_pair(p, BC_NAMES_TABLE, in); break;
    case BC_IMM_MEMORY_MEMORY: print_pair(p, BC_NAMES_MEMORY, in); break;
    case BC_IMM_ELEM_TABLE: print_segment_of(p, BC_NAMES_ELEM, BC_NAMES_TABLE, in); break;
    case BC_IMM_DATA_MEMORY: print_segment_of(p, BC_NAMES_DATA, BC_NAMES_MEMORY, in); break;
    case BC_IMM_ELEM: spaced_index(p, BC_NAMES_ELEM, in->index); break;
    case BC_IMM_DATA: spaced_index(p, BC_NAMES_DATA, in->index); break;
    case BC_IMM_MEMARG: print_memarg(p, in); break;
    case BC_IMM_MEMARG_LANE:
        print_memarg(p, in);
        bc_buf_text(p->out, " %u", in->lane);
        break;
    case BC_IMM_LANE: bc_buf_text(p->out, " %u", in->lane); break;
    case BC_IMM_SHUFFLE:
        for (unsigned i = 0; i < 16; i++) bc_buf_text(p->out, " %u", in->v128[i]);
        break;
    case BC_IMM_V128: print_v128(p, in->v128); break;
    case BC_IMM_I32: bc_buf_text(p->out, " %" PRIi32, in->i32); break;
    case BC_IMM_I64: bc_buf_text(p->out, " %" PRIi64, in->i64); break;
    case BC_IMM_F32:
        bc_buf_u8(p->out, ' ');
        print_float(p->out, in->f32_bits, false);
        break;
    case BC_IMM_F64:
        bc_buf_u8(p->out, ' ');
        print_float(p->out, in->f64_bits, true);
        break;
    case BC_IMM_HEAP_TYPE: print_cast(p, in); break;
    case BC_IMM_BR_CAST: print_br_cast(p, in); break;
    case BC_IMM_TYPE_FIELD:
        spaced_index(p, BC_NAMES_TYPE, in->index);
        print_field(p, in->index, in->index2);
        break;
    case BC_IMM_TYPE_COUNT:
        spaced_index(p, BC_NAMES_TYPE, in->index);
        bc_buf_text(p->out, " %u", in->index2);
        break;
    case BC_IMM_TYPE_TYPE:
        spaced_index(p, BC_NAMES_TYPE, in->index);
        spaced_index(p, BC_NAMES_TYPE, in->index2);
        break;
    case BC_IMM_TYPE_DATA:
        spaced_index(p, BC_NAMES_TYPE, in->index);
        spaced_index(p, BC_NAMES_DATA, in->index2);
        break;
    case BC_IMM_TYPE_ELEM:
        spaced_index(p, BC_NAMES_TYPE, in->index);
        spaced_index(p, BC_NAMES_ELEM, in->index2);
        break;
    }
}

static bool names_data(enum bc_op op) {
    enum bc_imm imm = (enum bc_imm)bc_op_infos[op].immediates;
    return imm == BC_IMM_DATA || imm == BC_IMM_DATA_MEMORY || imm == BC_IMM_TYPE_DATA;
}

void print_instr(struct printer *p, const struct bc_instr *in, const struct print_label *label) {
    p->uses_data |= names_data(in->op);
    bc_buf_text(p->out, "%s", bc_op_infos[in->op].text);
    if (label && label->name.size) {
        bc_buf_u8(p->out, ' ');
        print_id(p->out, label->name);
    }
    print_immediates(p, in);
}

void bc_instr_print(const struct bc_module *m, const struct bc_instr *in, struct bc_buf *out) {
    struct printer p = {.m = m, .out = out, .o.no_names = true, .func = BC_NONE};
    print_instr(&p, in, NULL);
}
