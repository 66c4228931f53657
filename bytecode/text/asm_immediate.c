/* bytecode/text/asm_immediate.c: a plain instruction's immediates, by the opcode table. Source: core spec,
 * "Text Format / Instructions". */
#include "bytecode/text/asm.h"

#define N_SLOTS 2048u /* twice the keywords and more */

static uint32_t slot_of(const char *text, size_t size) {
    return (uint32_t)bc_hash_bytes(0, text, size) & (N_SLOTS - 1);
}

void asm_init_ops(struct assembler *a) {
    a->op_slots = asm_new(a, N_SLOTS, sizeof *a->op_slots);
    for (unsigned op = 0; a->op_slots && op < BC_OP_COUNT; op++) {
        const char *text = bc_op_infos[op].text;
        uint32_t h = slot_of(text, strlen(text));
        for (; a->op_slots[h]; h = (h + 1) & (N_SLOTS - 1))
            if (!strcmp(bc_op_infos[a->op_slots[h] - 1].text, text)) break; /* the first row of a keyword */
        if (!a->op_slots[h]) a->op_slots[h] = (uint16_t)(op + 1);
    }
}

int asm_op(const struct assembler *a, const struct text_token *t) {
    for (uint32_t h = slot_of(t->begin, t->size); a->op_slots[h]; h = (h + 1) & (N_SLOTS - 1))
        if (asm_is(t, bc_op_infos[a->op_slots[h] - 1].text)) return a->op_slots[h] - 1;
    return -1;
}

uint32_t asm_label_index(struct assembler *a) {
    const struct text_token *t = asm_peek(a);
    struct asm_id id;
    if (t->kind != TEXT_ID) return (uint32_t)asm_nat(a, 32, "i32 constant");
    if (!asm_take_id(a, &id)) return 0;
    uint32_t height = asm_find(a, SPACE_LABEL, a->func, id);
    if (height == BC_NONE) {
        asm_fail(a, t, "unknown label %.*s", (int)(t->size < 100 ? t->size : 100), t->begin);
        return 0;
    }
    return (uint32_t)a->n_labels - 1 - height;
}

/* ---- memory operands ---- */

/* "offset=..." or "align=..." at the cursor: its number, and the cursor moves behind. */
static bool assigned(struct assembler *a, const char *prefix, uint64_t *out) {
    const struct text_token *t = asm_peek(a);
    size_t n = strlen(prefix);
    if (t->kind != TEXT_KEYWORD || t->size < n || memcmp(t->begin, prefix, n)) return false;
    const char *p = t->begin + n, *end = t->begin + t->size;
    bool hex = end - p > 2 && p[0] == '0' && p[1] == 'x', well = p < end && end[-1] != '_' && *p != '_';
    for (const char *q = hex ? p + 2 : p; q < end; q++)
        well &= (*q >= '0' && *q <= '9') || *q == '_' || (hex && (*q | 0x20) >= 'a' && (*q | 0x20) <= 'f');
    if (!well)
        asm_fail(a, t, "unknown operator %.*s", (int)(t->size < 60 ? t->size : 60), t->begin);
    else if (!asm_parse_nat(p, end, out))
        asm_fail(a, t, "i64 constant out of range");
    a->i++;
    return true;
}

/* With a lane behind it a lone number is the lane, not a memory. */
static bool has_memory(const struct assembler *a, bool lane) {
    if (!asm_at_index(a)) return false;
    if (!lane || asm_peek(a)->kind == TEXT_ID) return true;
    const struct text_token *next = &a->t[a->i + 1];
    return a->i + 1 < a->limit &&
           (next->kind == TEXT_NAT || (next->kind == TEXT_KEYWORD && memchr(next->begin, '=', next->size)));
}

static void memarg(struct assembler *a, enum bc_op op, struct bc_buf *out) {
    const struct bc_op_info *info = &bc_op_infos[op];
    bool lane = info->immediates == BC_IMM_MEMARG_LANE;
    uint64_t offset = 0, align = info->access;
    uint32_t memory = has_memory(a, lane) ? asm_index(a, SPACE_MEMORY, 0) : 0;
    assigned(a, "offset=", &offset);
    const struct text_token *t = asm_peek(a);
    if (assigned(a, "align=", &align) && (!align || align & (align - 1)))
        asm_fail(a, t, "alignment must be a power of two");
    bc_buf_u32(out, (uint32_t)__builtin_ctzll(align | UINT64_C(1) << 63) | (memory ? 0x40 : 0));
    if (memory) bc_buf_u32(out, memory);
    bc_buf_u64(out, offset);
}

static void lane(struct assembler *a, struct bc_buf *out) {
    bc_buf_u8(out, (uint8_t)asm_nat(a, 8, "i8 constant"));
}

/* ---- vectors ---- */

/* 16 lanes; the count is looked at first, so that a long list is not taken for a wrong instruction. */
static void shuffle(struct assembler *a, struct bc_buf *out) {
    const struct text_token *t = asm_peek(a);
    unsigned n = 0;
    for (; !asm_failed(a) && a->i < a->limit; n++) {
        enum text_token_kind kind = asm_peek(a)->kind;
        if (kind == TEXT_INT || kind == TEXT_FLOAT)
            asm_fail(a, asm_peek(a), "i8 constant out of range");
        else if (kind != TEXT_NAT)
            break;
        else
            lane(a, out);
    }
    if (n != 16) asm_fail(a, t, "invalid lane length");
}

/* There are as many literals as the shape has lanes; looked at before their values, as the official tests
 * want it. */
static bool count_lanes(struct assembler *a, unsigned n_lanes) {
    uint32_t begin = a->i, n = 0;
    for (; a->i < a->limit; a->i++, n++) {
        enum text_token_kind kind = asm_peek(a)->kind;
        bool word = kind == TEXT_KEYWORD && n < n_lanes && asm_op(a, asm_peek(a)) < 0; /* nan:1 */
        if (kind == TEXT_RESERVED || word) {
            asm_unexpected(a);
            return false;
        }
        if (kind != TEXT_NAT && kind != TEXT_INT && kind != TEXT_FLOAT) break;
    }
    a->i = begin;
    if (n != n_lanes) asm_fail(a, asm_peek(a), "wrong number of lane literals");
    return n == n_lanes;
}

static void v128(struct assembler *a, struct bc_buf *out) {
    static const struct {
        const char *shape;
        uint8_t bits, lanes, is_float;
    } shapes[] = {{"i8x16", 8, 16, 0}, {"i16x8", 16, 8, 0}, {"i32x4", 32, 4, 0},
                  {"i64x2", 64, 2, 0}, {"f32x4", 32, 4, 1}, {"f64x2", 64, 2, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        if (!asm_accept(a, shapes[s].shape)) continue;
        if (!count_lanes(a, shapes[s].lanes)) return;
        for (unsigned k = 0; k < shapes[s].lanes && !asm_failed(a); k++) {
            uint64_t bits = !shapes[s].is_float    ? asm_int(a, shapes[s].bits)
                            : shapes[s].bits == 32 ? asm_f32(a)
                                                   : asm_f64(a);
            bc_buf_fixed(out, bits, shapes[s].bits / 8);
        }
        return;
    }
    asm_unexpected(a);
}

/* ---- block types, branches, calls ---- */

void asm_put_blocktype(struct assembler *a, struct bc_buf *out) {
    struct asm_sig sig;
    const struct text_token *t = asm_peek(a);
    asm_sig_read(a, &sig, false, false);
    if (sig.type == BC_NONE && !sig.n_params && sig.n_results <= 1) {
        if (sig.n_results && !asm_failed(a))
            bc_put_valtype(out, sig.types[0]);
        else
            bc_buf_u8(out, 0x40);
        atoll_free(a->alloc, sig.types, sig.capacity * sizeof *sig.types);
        return;
    }
    bc_buf_s64(out, asm_sig_type(a, &sig, t));
}

static void br_table(struct assembler *a, struct bc_buf *out) {
    struct bc_buf labels;
    uint32_t n = 0, last = 0;
    bc_buf_init(&labels, a->alloc);
    while (!asm_failed(a) && asm_at_index(a)) {
        if (n++) bc_buf_u32(&labels, last);
        last = asm_label_index(a);
    }
    if (!n) asm_unexpected(a);
    bc_buf_u32(out, n ? n - 1 : 0);
    bc_buf_bytes(out, labels.data, labels.size);
    bc_buf_u32(out, last);
    out->failed |= labels.failed;
    bc_buf_fini(&labels);
}

static void call_indirect(struct assembler *a, struct bc_buf *out) {
    struct asm_sig sig;
    uint32_t table = asm_at_index(a) ? asm_index(a, SPACE_TABLE, 0) : 0;
    const struct text_token *t = asm_peek(a);
    asm_sig_read(a, &sig, false, false);
    bc_buf_u32(out, asm_sig_type(a, &sig, t));
    bc_buf_u32(out, table);
}

void asm_put_catches(struct assembler *a, struct bc_buf *out) {
    static const char *const words[] = {"catch", "catch_ref", "catch_all", "catch_all_ref"};
    struct bc_buf clauses;
    uint32_t n = 0;
    bc_buf_init(&clauses, a->alloc);
    for (uint8_t k = 0; k < 4 && !asm_failed(a);) {
        if (!asm_open(a, words[k])) {
            k++;
            continue;
        }
        bc_buf_u8(&clauses, k);
        if (k < 2) bc_buf_u32(&clauses, asm_index(a, SPACE_TAG, 0));
        bc_buf_u32(&clauses, asm_label_index(a));
        asm_expect_close(a);
        n++;
        k = 0;
    }
    bc_buf_u32(out, n);
    bc_buf_bytes(out, clauses.data, clauses.size);
    out->failed |= clauses.failed;
    bc_buf_fini(&clauses);
}

static void br_cast(struct assembler *a, struct bc_buf *out) {
    uint32_t label = asm_label_index(a);
    bc_valtype from = asm_reftype(a), to = asm_reftype(a);
    bc_buf_u8(out, (uint8_t)(bc_valtype_nullable(from) | bc_valtype_nullable(to) << 1));
    bc_buf_u32(out, label);
    bc_put_heaptype(out, bc_valtype_heap(from));
    bc_put_heaptype(out, bc_valtype_heap(to));
}

/* ---- the rest ---- */

/* Two indices, or none for two zeros. */
static void both(struct assembler *a, enum asm_space space, struct bc_buf *out) {
    bool given = asm_at_index(a);
    for (int i = 0; i < 2; i++) bc_buf_u32(out, given ? asm_index(a, space, 0) : 0);
}

/* "x? segment": the segment is encoded first. */
static void segment_of(struct assembler *a, enum asm_space segment, enum asm_space space,
                       struct bc_buf *out) {
    bool two = asm_at_index(a) && a->i + 1 < a->limit &&
               (a->t[a->i + 1].kind == TEXT_NAT || a->t[a->i + 1].kind == TEXT_ID);
    uint32_t x = two ? asm_index(a, space, 0) : 0;
    bc_buf_u32(out, asm_index(a, segment, 0));
    bc_buf_u32(out, x);
}

static void type_and(struct assembler *a, enum asm_space second, struct bc_buf *out) {
    uint32_t type = asm_index(a, SPACE_TYPE, 0);
    bc_buf_u32(out, type);
    bc_buf_u32(out, asm_index(a, second, second == SPACE_FIELD ? type : 0));
}

/* ref.test, ref.cast: the operand is a reference type, whose nullability chooses the opcode. */
static void cast(struct assembler *a, enum bc_op op, struct bc_buf *out) {
    bc_valtype t = asm_reftype(a);
    bc_put_op(out, (enum bc_op)(op + bc_valtype_nullable(t)));
    bc_put_heaptype(out, bc_valtype_heap(t));
}
_Static_assert(BC_REF_TEST_NULL == BC_REF_TEST + 1 && BC_REF_CAST_NULL == BC_REF_CAST + 1,
               "cast chooses by + 1");

static void select_(struct assembler *a, struct bc_buf *out) {
    struct bc_buf types;
    uint32_t n = 0;
    bool typed = asm_at_open(a, "result");
    bc_buf_init(&types, a->alloc);
    while (!asm_failed(a) && asm_open(a, "result")) {
        for (; !asm_failed(a) && asm_peek(a)->kind != TEXT_RPAREN; n++)
            bc_put_valtype(&types, asm_valtype(a));
        asm_expect_close(a);
    }
    bc_put_op(out, typed ? BC_SELECT_T : BC_SELECT);
    if (typed) bc_buf_u32(out, n);
    bc_buf_bytes(out, types.data, types.size);
    out->failed |= types.failed;
    bc_buf_fini(&types);
}

static void index_of(struct assembler *a, enum bc_imm immediate, struct bc_buf *out) {
    static const uint8_t spaces[] = {
        [BC_IMM_FUNC] = SPACE_FUNC,   [BC_IMM_TYPE] = SPACE_TYPE,     [BC_IMM_TAG] = SPACE_TAG,
        [BC_IMM_LOCAL] = SPACE_LOCAL, [BC_IMM_GLOBAL] = SPACE_GLOBAL, [BC_IMM_TABLE] = SPACE_TABLE,
        [BC_IMM_ELEM] = SPACE_ELEM,   [BC_IMM_DATA] = SPACE_DATA,     [BC_IMM_MEMORY] = SPACE_MEMORY};
    bool optional = (immediate == BC_IMM_TABLE || immediate == BC_IMM_MEMORY) && !asm_at_index(a);
    enum asm_space space = (enum asm_space)spaces[immediate];
    bc_buf_u32(out, optional ? 0 : asm_index(a, space, space == SPACE_LOCAL ? a->func : 0));
}

void asm_plain(struct assembler *a, enum bc_op op, struct bc_buf *out) {
    enum bc_imm immediate = (enum bc_imm)bc_op_infos[op].immediates;
    if (op == BC_SELECT) {
        select_(a, out);
        return;
    }
    if (op == BC_REF_TEST || op == BC_REF_CAST) {
        cast(a, op, out);
        return;
    }
    bc_put_op(out, op);
    switch (immediate) {
    case BC_IMM_LABEL: bc_buf_u32(out, asm_label_index(a)); break;
    case BC_IMM_BR_TABLE: br_table(a, out); break;
    case BC_IMM_CALL_INDIRECT: call_indirect(a, out); break;
    case BC_IMM_FUNC:
    case BC_IMM_TYPE:
    case BC_IMM_TAG:
    case BC_IMM_LOCAL:
    case BC_IMM_GLOBAL:
    case BC_IMM_TABLE:
    case BC_IMM_ELEM:
    case BC_IMM_MEMORY: index_of(a, immediate, out); break;
    case BC_IMM_DATA:
        a->needs_data_count = true;
        index_of(a, immediate, out);
        break;
    case BC_IMM_TABLE_TABLE: both(a, SPACE_TABLE, out); break;
    case BC_IMM_MEMORY_MEMORY: both(a, SPACE_MEMORY, out); break;
    case BC_IMM_ELEM_TABLE: segment_of(a, SPACE_ELEM, SPACE_TABLE, out); break;
    case BC_IMM_DATA_MEMORY:
        a->needs_data_count = true;
        segment_of(a, SPACE_DATA, SPACE_MEMORY, out);
        break;
    case BC_IMM_MEMARG: memarg(a, op, out); break;
    case BC_IMM_MEMARG_LANE:
        memarg(a, op, out);
        lane(a, out);
        break;
    case BC_IMM_LANE: lane(a, out); break;
    case BC_IMM_SHUFFLE: shuffle(a, out); break;
    case BC_IMM_V128: v128(a, out); break;
    case BC_IMM_I32: bc_buf_s64(out, (int32_t)asm_int(a, 32)); break;
    case BC_IMM_I64: bc_buf_s64(out, (int64_t)asm_int(a, 64)); break;
    case BC_IMM_F32: bc_buf_fixed(out, asm_f32(a), 4); break;
    case BC_IMM_F64: bc_buf_fixed(out, asm_f64(a), 8); break;
    case BC_IMM_HEAP_TYPE: bc_put_heaptype(out, asm_heaptype(a)); break;
    case BC_IMM_BR_CAST: br_cast(a, out); break;
    case BC_IMM_TYPE_FIELD: type_and(a, SPACE_FIELD, out); break;
    case BC_IMM_TYPE_TYPE: type_and(a, SPACE_TYPE, out); break;
    case BC_IMM_TYPE_ELEM: type_and(a, SPACE_ELEM, out); break;
    case BC_IMM_TYPE_DATA:
        a->needs_data_count = true;
        type_and(a, SPACE_DATA, out);
        break;
    case BC_IMM_TYPE_COUNT:
        bc_buf_u32(out, asm_index(a, SPACE_TYPE, 0));
        bc_buf_u32(out, (uint32_t)asm_nat(a, 32, "i32 constant"));
        break;
    case BC_IMM_FENCE: bc_buf_u8(out, 0); break;
    case BC_IMM_NONE:
    case BC_IMM_SELECT:
    case BC_IMM_BLOCK:
    case BC_IMM_TRY_TABLE: break;
    }
}
