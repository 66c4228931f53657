/* bytecode/text/asm_field.c: module fields to section buffers. Source: core spec, "Text Format / Modules". */
#include "bytecode/text/asm_field.h"

static void put_name(struct assembler *a, struct bc_buf *out) { asm_string_name(a, out); }

/* ---- types of entities ---- */

struct limits {
    uint64_t min, max;
    bool has_max, shared, is64, has_page;
    uint8_t page_log2;
};

static bool address_type(struct assembler *a) {
    if (asm_accept(a, "i64")) return true;
    asm_accept(a, "i32");
    return false;
}

static void limits_numbers(struct assembler *a, struct limits *l) {
    l->min = asm_nat(a, 64, "i64 constant");
    l->has_max = asm_peek(a)->kind == TEXT_NAT;
    if (l->has_max) l->max = asm_nat(a, 64, "i64 constant");
}

static void put_limits(struct bc_buf *out, const struct limits *l) {
    bc_buf_u8(out, (uint8_t)(l->has_max | l->shared << 1 | l->is64 << 2 | l->has_page << 3));
    bc_buf_u64(out, l->min);
    if (l->has_max) bc_buf_u64(out, l->max);
    if (l->has_page) bc_buf_u32(out, l->page_log2);
}

static void page_size(struct assembler *a, struct limits *l) {
    if (!asm_open(a, "pagesize")) return;
    const struct text_token *t = asm_peek(a);
    uint64_t size = asm_nat(a, 64, "i64 constant");
    if (!size || size & (size - 1)) asm_fail(a, t, "invalid custom page size");
    l->has_page = true;
    l->page_log2 = (uint8_t)__builtin_ctzll(size | UINT64_C(1) << 63);
    asm_expect_close(a);
}

static void memory_type(struct assembler *a, struct bc_buf *out) {
    struct limits l = {.is64 = address_type(a)};
    limits_numbers(a, &l);
    l.shared = asm_accept(a, "shared");
    page_size(a, &l);
    put_limits(out, &l);
}

static void table_type(struct assembler *a, struct bc_buf *out) {
    struct limits l = {.is64 = address_type(a)};
    limits_numbers(a, &l);
    bc_put_valtype(out, asm_reftype(a));
    put_limits(out, &l);
}

static void global_type(struct assembler *a, struct bc_buf *out) {
    bool mutable = asm_open(a, "mut");
    bc_put_valtype(out, asm_valtype(a));
    if (mutable) asm_expect_close(a);
    bc_buf_u8(out, mutable);
}

static uint32_t type_use(struct assembler *a, bool bind) {
    struct asm_sig sig;
    const struct text_token *t = asm_peek(a);
    asm_sig_read(a, &sig, bind, true);
    return asm_sig_type(a, &sig, t);
}

/* ---- imports and exports ---- */

static const char *const kind_words[] = {"func", "table", "memory", "global", "tag"};
static const uint8_t kind_spaces[] = {SPACE_FUNC, SPACE_TABLE, SPACE_MEMORY, SPACE_GLOBAL, SPACE_TAG};

/* The type of an import behind its names. */
static void import_type(struct assembler *a, unsigned kind, struct bc_buf *out) {
    bc_buf_u8(out, (uint8_t)kind);
    switch (kind) {
    case BC_EXTERN_FUNC: bc_buf_u32(out, type_use(a, false)); break;
    case BC_EXTERN_TABLE: table_type(a, out); break;
    case BC_EXTERN_MEMORY: memory_type(a, out); break;
    case BC_EXTERN_GLOBAL: global_type(a, out); break;
    default: bc_buf_u8(out, 0); bc_buf_u32(out, type_use(a, false));
    }
}

void asm_import(struct assembler *a) {
    struct bc_buf *out = &a->section[2];
    struct asm_id id;
    asm_place_item(a, 2);
    put_name(a, out);
    put_name(a, out);
    for (unsigned kind = 0; kind < BC_EXTERN_COUNT; kind++) {
        if (!asm_open(a, kind_words[kind])) continue;
        asm_take_id(a, &id);
        import_type(a, kind, out);
        asm_expect_close(a);
        a->items[2]++;
        return;
    }
    asm_unexpected(a);
}

static void inline_exports(struct assembler *a, unsigned kind, uint32_t index) {
    while (!asm_failed(a) && asm_open(a, "export")) {
        asm_place_item(a, 7);
        put_name(a, &a->section[7]);
        bc_buf_u8(&a->section[7], (uint8_t)kind);
        bc_buf_u32(&a->section[7], index);
        a->items[7]++;
        asm_expect_close(a);
    }
}

/* (import "m" "n") in a definition: true, and the whole field is an import. */
static bool inline_import(struct assembler *a, unsigned kind) {
    if (!asm_open(a, "import")) return false;
    asm_place_item(a, 2);
    put_name(a, &a->section[2]);
    put_name(a, &a->section[2]);
    asm_expect_close(a);
    import_type(a, kind, &a->section[2]);
    a->items[2]++;
    return true;
}

void asm_export(struct assembler *a) {
    struct bc_buf *out = &a->section[7];
    asm_place_item(a, 7);
    put_name(a, out);
    for (unsigned kind = 0; kind < BC_EXTERN_COUNT; kind++) {
        if (!asm_open(a, kind_words[kind])) continue;
        bc_buf_u8(out, (uint8_t)kind);
        bc_buf_u32(out, asm_index(a, (enum asm_space)kind_spaces[kind], 0));
        asm_expect_close(a);
        a->items[7]++;
        return;
    }
    asm_unexpected(a);
}

/* ---- functions ---- */

struct runs { /* of locals of one type */
    struct bc_buf out;
    uint32_t n, count;
    bc_valtype type;
};

static void flush_run(struct runs *r) {
    if (!r->count) return;
    bc_buf_u32(&r->out, r->count);
    bc_put_valtype(&r->out, r->type);
    r->n++;
    r->count = 0;
}

static void add_local(struct runs *r, bc_valtype t) {
    if (r->count && r->type != t) flush_run(r);
    r->type = t;
    r->count++;
}

static void read_locals(struct assembler *a, struct runs *r, uint32_t index) {
    struct asm_id id;
    while (!asm_failed(a) && asm_open(a, "local")) {
        if (asm_take_id(a, &id)) {
            asm_define(a, SPACE_LOCAL, a->func, id, index++);
            add_local(r, asm_valtype(a));
        } else {
            for (; !asm_failed(a) && asm_peek(a)->kind != TEXT_RPAREN; index++) add_local(r, asm_valtype(a));
        }
        asm_expect_close(a);
    }
    flush_run(r);
}

void asm_func(struct assembler *a, uint32_t index, uint32_t end) {
    struct asm_id id;
    struct runs runs = {0};
    uint32_t keyword = a->i - 1;
    asm_take_id(a, &id);
    a->func = index;
    inline_exports(a, BC_EXTERN_FUNC, index);
    if (inline_import(a, BC_EXTERN_FUNC)) return;
    uint32_t type = type_use(a, true);
    bc_buf_u32(&a->section[3], type);
    a->items[3]++;
    bc_buf_init(&runs.out, a->alloc);
    uint32_t n_params = type < a->n_types ? a->types[type].n_params : 0;
    read_locals(a, &runs, n_params);
    a->body.size = 0;
    asm_instrs(a, end, &a->body);
    bc_put_op(&a->body, BC_END);
    struct bc_buf head;
    bc_buf_init(&head, a->alloc);
    bc_buf_u32(&head, runs.n);
    bc_buf_bytes(&head, runs.out.data, runs.out.size);
    bc_buf_u32(&a->section[10], (uint32_t)(head.size + a->body.size));
    bc_buf_bytes(&a->section[10], head.data, head.size);
    if (!a->n_marks) asm_place(a, 10, a->section[10].size, keyword); /* a body without instructions */
    asm_place_instrs(a, 10, a->section[10].size);
    bc_buf_bytes(&a->section[10], a->body.data, a->body.size);
    a->items[10]++;
    if (head.failed || runs.out.failed || a->body.failed) asm_nomem(a);
    bc_buf_fini(&head);
    bc_buf_fini(&runs.out);
}

/* ---- constant expressions ---- */

/* Its places are counted from `out`. */
static void const_expr(struct assembler *a, uint32_t end, struct bc_buf *out, unsigned section) {
    struct bc_buf code;
    bc_buf_init(&code, a->alloc);
    a->func = BC_NONE;
    asm_instrs(a, end, &code);
    asm_place_instrs(a, section, out->size);
    bc_buf_bytes(out, code.data, code.size);
    bc_put_op(out, BC_END);
    if (code.failed) asm_nomem(a);
    bc_buf_fini(&code);
}

/* (offset instr*) or one folded instruction. */
static void offset_expr(struct assembler *a, struct bc_buf *out, unsigned section) {
    if (asm_at_open(a, "offset")) {
        uint32_t end = a->close[a->i];
        a->i += 2;
        const_expr(a, end, out, section);
        asm_expect_close(a);
    } else if (asm_peek(a)->kind == TEXT_LPAREN) {
        const_expr(a, a->close[a->i] + 1, out, section);
    } else {
        asm_unexpected(a);
    }
}

static void zero_offset(struct bc_buf *out, bool is64) {
    bc_put_op(out, is64 ? BC_I64_CONST : BC_I32_CONST);
    bc_buf_s64(out, 0);
    bc_put_op(out, BC_END);
}

/* ---- element segments ---- */

struct items {
    struct bc_buf out;
    uint32_t n;
    size_t first_place; /* of theirs, counted from `out` */
};

/* (item instr*) or one folded instruction, each. */
static void item_exprs(struct assembler *a, struct items *items) {
    while (!asm_failed(a) && asm_peek(a)->kind == TEXT_LPAREN) {
        if (asm_at_open(a, "item")) {
            uint32_t end = a->close[a->i];
            a->i += 2;
            const_expr(a, end, &items->out, 9);
            asm_expect_close(a);
        } else {
            const_expr(a, a->close[a->i] + 1, &items->out, 9);
        }
        items->n++;
    }
}

static void item_funcs(struct assembler *a, struct items *items) {
    for (; !asm_failed(a) && asm_at_index(a); items->n++)
        bc_buf_u32(&items->out, asm_index(a, SPACE_FUNC, 0));
}

enum { NOT_ACTIVE = 1, EXPLICIT = 2, EXPRESSIONS = 4 };

static void put_items(struct assembler *a, struct bc_buf *out, struct items *items) {
    bc_buf_u32(out, items->n);
    asm_move_places(a, 9, items->first_place, a->places[9].n_entries, out->size);
    bc_buf_bytes(out, items->out.data, items->out.size);
    if (items->out.failed) asm_nomem(a);
    bc_buf_fini(&items->out);
    a->items[9]++;
}

void asm_elem(struct assembler *a) {
    struct asm_id id;
    struct items items = {0};
    struct bc_buf place, *out = &a->section[9];
    uint32_t flags = 0, table = 0;
    bc_valtype type = BC_FUNCREF;
    bc_buf_init(&place, a->alloc);
    bc_buf_init(&items.out, a->alloc);
    asm_place_item(a, 9);
    size_t first_place = a->places[9].n_entries;
    asm_take_id(a, &id);
    if (asm_accept(a, "declare")) {
        flags = NOT_ACTIVE | EXPLICIT;
    } else if (asm_open(a, "table")) {
        flags = EXPLICIT;
        table = asm_index(a, SPACE_TABLE, 0);
        asm_expect_close(a);
        offset_expr(a, &place, 9);
    } else if (asm_peek(a)->kind == TEXT_LPAREN && !asm_at_open(a, "ref")) {
        offset_expr(a, &place, 9);
    } else {
        flags = NOT_ACTIVE;
    }
    bool active = !(flags & NOT_ACTIVE);
    items.first_place = a->places[9].n_entries;
    if (asm_accept(a, "func")) {
        item_funcs(a, &items);
    } else if (asm_at_reftype(a)) {
        type = asm_reftype(a);
        flags |= EXPRESSIONS;
        if (active && type != BC_FUNCREF) flags |= EXPLICIT;
        item_exprs(a, &items);
    } else if (active && !(flags & EXPLICIT)) {
        item_funcs(a, &items); /* the oldest form: (elem (offset) $f $g) */
    } else {
        asm_unexpected(a);
    }
    bc_buf_u32(out, flags);
    if (active && flags & EXPLICIT) bc_buf_u32(out, table);
    asm_move_places(a, 9, first_place, items.first_place, out->size);
    bc_buf_bytes(out, place.data, place.size);
    if (flags & (NOT_ACTIVE | EXPLICIT)) {
        if (flags & EXPRESSIONS)
            bc_put_valtype(out, type);
        else
            bc_buf_u8(out, 0);
    }
    if (place.failed) asm_nomem(a);
    bc_buf_fini(&place);
    put_items(a, out, &items);
}

/* (table ... reftype (elem ...)): a segment of its own that fills the table. Returns how many items. */
static uint32_t inline_elem(struct assembler *a, uint32_t table, bc_valtype type, bool is64) {
    struct items items = {0};
    struct bc_buf *out = &a->section[9];
    bc_buf_init(&items.out, a->alloc);
    asm_place_item(a, 9);
    items.first_place = a->places[9].n_entries;
    bool expressions = asm_peek(a)->kind == TEXT_LPAREN;
    if (expressions) {
        item_exprs(a, &items);
    } else if (type == BC_FUNCREF) {
        item_funcs(a, &items);
    } else { /* function indices in a table of another type: as expressions */
        expressions = true;
        for (; !asm_failed(a) && asm_at_index(a); items.n++) {
            bc_put_op(&items.out, BC_REF_FUNC);
            bc_buf_u32(&items.out, asm_index(a, SPACE_FUNC, 0));
            bc_put_op(&items.out, BC_END);
        }
    }
    uint32_t n = items.n,
             flags = (expressions ? EXPRESSIONS : 0) | (table || type != BC_FUNCREF ? EXPLICIT : 0);
    bc_buf_u32(out, flags);
    if (flags & EXPLICIT) bc_buf_u32(out, table);
    zero_offset(out, is64);
    if (flags & EXPLICIT) {
        if (expressions)
            bc_put_valtype(out, type);
        else
            bc_buf_u8(out, 0);
    }
    put_items(a, out, &items);
    return n;
}

/* ---- tables, memories, globals, tags, data ---- */

void asm_table(struct assembler *a, uint32_t index, uint32_t end) {
    struct asm_id id;
    struct bc_buf *out = &a->section[4];
    uint32_t keyword = a->i - 1;
    asm_take_id(a, &id);
    inline_exports(a, BC_EXTERN_TABLE, index);
    if (inline_import(a, BC_EXTERN_TABLE)) return;
    asm_place(a, 4, out->size, keyword);
    struct limits l = {.is64 = address_type(a)};
    a->items[4]++;
    if (asm_peek(a)->kind != TEXT_NAT) {
        bc_valtype type = asm_reftype(a);
        if (!asm_open(a, "elem")) {
            asm_unexpected(a);
            return;
        }
        l.min = l.max = inline_elem(a, index, type, l.is64);
        l.has_max = true;
        asm_expect_close(a);
        bc_put_valtype(out, type);
        put_limits(out, &l);
        return;
    }
    limits_numbers(a, &l);
    bc_valtype type = asm_reftype(a);
    bool init = a->i < end;
    if (init) {
        bc_buf_u8(out, 0x40);
        bc_buf_u8(out, 0);
    }
    bc_put_valtype(out, type);
    put_limits(out, &l);
    if (init) const_expr(a, end, out, 4);
}

static void strings(struct assembler *a, struct bc_buf *out) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, a->alloc);
    while (!asm_failed(a) && asm_peek(a)->kind == TEXT_STRING) asm_string(a, &bytes);
    bc_buf_u32(out, (uint32_t)bytes.size);
    bc_buf_bytes(out, bytes.data, bytes.size);
    if (bytes.failed) asm_nomem(a);
    bc_buf_fini(&bytes);
}

void asm_memory(struct assembler *a, uint32_t index) {
    struct asm_id id;
    uint32_t keyword = a->i - 1;
    asm_take_id(a, &id);
    inline_exports(a, BC_EXTERN_MEMORY, index);
    if (inline_import(a, BC_EXTERN_MEMORY)) return;
    asm_place(a, 5, a->section[5].size, keyword);
    a->items[5]++;
    uint32_t begin = a->i;
    struct limits l = {.is64 = address_type(a)};
    page_size(a, &l);
    if (!asm_at_open(a, "data")) {
        a->i = begin;
        memory_type(a, &a->section[5]);
        return;
    }
    a->i += 2;
    asm_place_item(a, 11);
    struct bc_buf *out = &a->section[11], data;
    bc_buf_init(&data, a->alloc);
    strings(a, &data);
    asm_expect_close(a);
    bc_buf_u32(out, index ? 2 : 0);
    if (index) bc_buf_u32(out, index);
    zero_offset(out, l.is64);
    bc_buf_bytes(out, data.data, data.size);
    a->items[11]++;
    size_t length = data.size; /* the length's own LEB128 bytes taken off */
    for (size_t k = 0; k < data.size; k++) {
        length--;
        if (data.data[k] < 0x80) break;
    }
    unsigned shift = l.has_page ? l.page_log2 : 16;
    l.min = l.max = (length + (UINT64_C(1) << shift) - 1) >> shift;
    l.has_max = true;
    put_limits(&a->section[5], &l);
    if (data.failed) asm_nomem(a);
    bc_buf_fini(&data);
}

void asm_global(struct assembler *a, uint32_t index, uint32_t end) {
    struct asm_id id;
    uint32_t keyword = a->i - 1;
    asm_take_id(a, &id);
    inline_exports(a, BC_EXTERN_GLOBAL, index);
    if (inline_import(a, BC_EXTERN_GLOBAL)) return;
    asm_place(a, 6, a->section[6].size, keyword);
    global_type(a, &a->section[6]);
    const_expr(a, end, &a->section[6], 6);
    a->items[6]++;
}

void asm_tag(struct assembler *a, uint32_t index) {
    struct asm_id id;
    uint32_t keyword = a->i - 1;
    asm_take_id(a, &id);
    inline_exports(a, BC_EXTERN_TAG, index);
    if (inline_import(a, BC_EXTERN_TAG)) return;
    asm_place(a, 13, a->section[13].size, keyword);
    bc_buf_u8(&a->section[13], 0);
    bc_buf_u32(&a->section[13], type_use(a, false));
    a->items[13]++;
}

void asm_data(struct assembler *a) {
    struct asm_id id;
    struct bc_buf *out = &a->section[11];
    asm_place_item(a, 11);
    asm_take_id(a, &id);
    if (asm_open(a, "memory")) {
        uint32_t memory = asm_index(a, SPACE_MEMORY, 0);
        asm_expect_close(a);
        bc_buf_u32(out, 2);
        bc_buf_u32(out, memory);
        offset_expr(a, out, 11);
    } else if (asm_peek(a)->kind == TEXT_LPAREN) {
        bc_buf_u32(out, 0);
        offset_expr(a, out, 11);
    } else {
        bc_buf_u32(out, 1);
    }
    strings(a, out);
    a->items[11]++;
}

void asm_start(struct assembler *a) {
    asm_place_item(a, 8);
    bc_buf_u32(&a->section[8], asm_index(a, SPACE_FUNC, 0));
}
