/* bytecode/text/asm.c: one module from text to bytes: tokens, passes, sections (asm.h draws the way). */
#include "bytecode/text/asm_field.h"
#include "bytecode/reader.h"

/* ---- small readers ---- */

bool asm_is(const struct text_token *t, const char *keyword) {
    return t->size == strlen(keyword) && !memcmp(t->begin, keyword, t->size);
}
bool asm_at_open(const struct assembler *a, const char *keyword) {
    return a->t[a->i].kind == TEXT_LPAREN && a->t[a->i + 1].kind == TEXT_KEYWORD &&
           asm_is(&a->t[a->i + 1], keyword);
}
bool asm_open(struct assembler *a, const char *keyword) {
    if (!asm_at_open(a, keyword)) return false;
    a->i += 2;
    return true;
}
bool asm_accept(struct assembler *a, const char *keyword) {
    if (a->t[a->i].kind != TEXT_KEYWORD || !asm_is(&a->t[a->i], keyword)) return false;
    a->i++;
    return true;
}
/* Keywords of the text format that are no instructions: at a wrong place they are unexpected, others are
 * unknown. */
static bool is_keyword(const struct assembler *a, const struct text_token *t) {
    static const char *const words[] = {"nan:canonical",
                                        "nan:arithmetic",
                                        "module",
                                        "type",
                                        "rec",
                                        "sub",
                                        "final",
                                        "func",
                                        "param",
                                        "result",
                                        "local",
                                        "import",
                                        "export",
                                        "table",
                                        "memory",
                                        "global",
                                        "tag",
                                        "start",
                                        "elem",
                                        "data",
                                        "offset",
                                        "item",
                                        "declare",
                                        "mut",
                                        "field",
                                        "struct",
                                        "array",
                                        "then",
                                        "do",
                                        "shared",
                                        "i8",
                                        "i16",
                                        "i32",
                                        "i64",
                                        "f32",
                                        "f64",
                                        "v128",
                                        "ref",
                                        "null",
                                        "any",
                                        "eq",
                                        "i31",
                                        "none",
                                        "nofunc",
                                        "extern",
                                        "noextern",
                                        "exn",
                                        "noexn",
                                        "pagesize",
                                        "catch_ref",
                                        "binary",
                                        "quote",
                                        "instance",
                                        "definition",
                                        "catch_all_ref",
                                        "i8x16",
                                        "i16x8",
                                        "i32x4",
                                        "i64x2",
                                        "f32x4",
                                        "f64x2"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (asm_is(t, words[i])) return true;
    size_t n = t->size; /* anyref, funcref ... */
    return (n > 3 && !memcmp(t->begin + n - 3, "ref", 3)) || memchr(t->begin, '=', n) || !a->op_slots ||
           asm_op(a, t) >= 0;
}
void asm_unexpected(struct assembler *a) {
    const struct text_token *t = asm_peek(a);
    if (t->kind == TEXT_EOF)
        asm_fail(a, t, "unexpected token: end of text");
    else if (t->kind == TEXT_RESERVED || (t->kind == TEXT_KEYWORD && !is_keyword(a, t)))
        asm_fail(a, t, "unknown operator %.*s", (int)(t->size < 60 ? t->size : 60), t->begin);
    else
        asm_fail(a, t, "unexpected token %.*s", (int)(t->size < 60 ? t->size : 60), t->begin);
}
void asm_expect_close(struct assembler *a) {
    if (asm_peek(a)->kind == TEXT_RPAREN)
        a->i++;
    else
        asm_unexpected(a);
}
void asm_nomem(struct assembler *a) {
    if (!a->x.status) a->x.status = atoll_fail(a->x.err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}
void *asm_new(struct assembler *a, size_t n, size_t size) {
    void *p = bc_arena_new(&a->arena, n, size);
    if (!p) asm_nomem(a);
    return p;
}
bool asm_string(struct assembler *a, struct bc_buf *out) {
    const struct text_token *t = asm_peek(a);
    if (t->kind != TEXT_STRING) {
        asm_unexpected(a);
        return false;
    }
    a->i++;
    text_string_bytes(t->begin, t->size, out);
    return true;
}
void asm_string_name(struct assembler *a, struct bc_buf *out) {
    const struct text_token *t = asm_peek(a);
    struct bc_buf bytes;
    bc_buf_init(&bytes, a->alloc);
    if (asm_string(a, &bytes) && !bc_utf8_valid(bytes.data, bytes.size))
        asm_fail(a, t, "malformed UTF-8 encoding");
    bc_buf_u32(out, (uint32_t)bytes.size);
    bc_buf_bytes(out, bytes.data, bytes.size);
    if (bytes.failed) asm_nomem(a);
    bc_buf_fini(&bytes);
}

/* ---- tokens ---- */

struct open_stack {
    uint32_t *items;
    size_t n, capacity;
};

/* (@custom "name" place? "bytes"*): kept for the sections; other annotations that get here mean nothing to
 * the bytes. */
struct asm_customs {
    struct asm_custom {
        uint8_t section; /* id, PLACE_FIRST or PLACE_LAST */
        bool before;
        uint32_t from, to; /* in bytes: name with its length, payload */
    } * items;
    size_t n, capacity;
    struct bc_buf bytes;
    bool has_names;
    bool anywhere; /* a script: its modules are assembled on their own, and looked at then */
};

#define PLACE_FIRST 0
#define PLACE_LAST  14

/* Section id of a place's word, PLACE_FIRST or PLACE_LAST; -1 for another word. */
static int place_of(const struct text_token *t) {
    if (t->kind != TEXT_KEYWORD) return -1;
    if (asm_is(t, "first")) return PLACE_FIRST;
    if (asm_is(t, "last")) return PLACE_LAST;
    for (int id = 1; id < PLACE_LAST; id++)
        if (asm_is(t, bc_section_words[id])) return id;
    return -1;
}

static void custom_place(struct assembler *a, struct text_lexer *x, struct asm_custom *custom,
                         struct text_token *t) {
    if (t->kind != TEXT_LPAREN) return;
    struct text_token where = text_lexer_next(x), section = text_lexer_next(x), close = text_lexer_next(x);
    bool before = where.kind == TEXT_KEYWORD && asm_is(&where, "before");
    bool known = before || (where.kind == TEXT_KEYWORD && asm_is(&where, "after"));
    int id = place_of(&section);
    if (!known)
        text_lexer_fail(x, t, "@custom annotation: malformed placement");
    else if (id < 0 || close.kind != TEXT_RPAREN)
        text_lexer_fail(x, t, "@custom annotation: malformed section kind");
    custom->before = before;
    custom->section = (uint8_t)(id < 0 ? 0 : id);
    (void)a;
    *t = text_lexer_next(x);
}

static void read_custom(struct assembler *a, struct asm_customs *customs, const struct text_token *at) {
    struct text_lexer *x = &a->x;
    void *p = customs->items;
    struct text_token t = text_lexer_next(x);
    if (atoll_grow(a->alloc, &p, &customs->capacity, customs->n + 1, sizeof *customs->items)) {
        asm_nomem(a);
        return;
    }
    customs->items = p;
    struct asm_custom custom = {.section = PLACE_LAST, .from = (uint32_t)customs->bytes.size};
    if (t.kind != TEXT_STRING) {
        text_lexer_fail(x, &t, "@custom annotation: missing section name");
        return;
    }
    struct bc_buf name;
    bc_buf_init(&name, a->alloc);
    text_string_bytes(t.begin, t.size, &name);
    if (!bc_utf8_valid(name.data, name.size))
        text_lexer_fail(x, &t, "@custom annotation: malformed UTF-8 encoding");
    customs->has_names |= name.size == 4 && !memcmp(name.data, "name", 4);
    bc_buf_u32(&customs->bytes, (uint32_t)name.size);
    bc_buf_bytes(&customs->bytes, name.data, name.size);
    bc_buf_fini(&name);
    t = text_lexer_next(x);
    custom_place(a, x, &custom, &t);
    for (; t.kind == TEXT_STRING; t = text_lexer_next(x)) text_string_bytes(t.begin, t.size, &customs->bytes);
    if (t.kind != TEXT_RPAREN)
        text_lexer_fail(x, t.kind == TEXT_EOF ? at : &t, "@custom annotation: unexpected token");
    custom.to = (uint32_t)customs->bytes.size;
    customs->items[customs->n++] = custom;
}

static void skip_annotation(struct assembler *a, const struct text_token *at) {
    for (size_t depth = 1; depth && !a->x.status;) {
        struct text_token t = text_lexer_next(&a->x);
        depth += t.kind == TEXT_LPAREN || t.kind == TEXT_ANNOTATION;
        depth -= t.kind == TEXT_RPAREN;
        if (t.kind == TEXT_EOF) text_lexer_fail(&a->x, at, "unclosed annotation");
    }
}

/* A word behind which, or behind whose identifier, a name may stand. */
static bool takes_name(const struct text_token *t) {
    static const char *const words[] = {"module", "func",  "table", "memory", "global",
                                        "tag",    "type",  "elem",  "data",   "param",
                                        "local",  "field", "block", "loop",   "if"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (t->kind == TEXT_KEYWORD && asm_is(t, words[i])) return true;
    return false;
}

/* (@name "..."): the entity's name in the name section, whatever its identifier. */
static void read_name(struct assembler *a, const struct text_token *at) {
    uint32_t n = a->n_tokens;
    uint32_t word = n && a->t[n - 1].kind == TEXT_ID ? n - 2 : n - 1;
    bool placed = n > 1 && word < n && takes_name(&a->t[word]) && word && a->t[word - 1].kind == TEXT_LPAREN;
    struct text_token t = text_lexer_next(&a->x), close = text_lexer_next(&a->x);
    void *p = a->annotated;
    if (t.kind != TEXT_STRING || close.kind != TEXT_RPAREN) {
        text_lexer_fail(&a->x, at, "@name annotation: unexpected token");
    } else if (!placed) {
        text_lexer_fail(&a->x, at, "misplaced @name annotation");
    } else if (a->n_annotated && a->annotated[a->n_annotated - 1].token == n - 1) {
        text_lexer_fail(&a->x, at, "@name annotation: multiple %.*s", (int)a->t[word].size, a->t[word].begin);
    } else if (atoll_grow(a->alloc, &p, &a->annotated_capacity, a->n_annotated + 1, sizeof *a->annotated)) {
        asm_nomem(a);
    } else {
        a->annotated = p;
        a->annotated[a->n_annotated++] = (struct asm_annotated){n - 1, t};
    }
}

/* A custom section is a field of the module. */
static bool is_field_depth(const struct assembler *a, size_t depth) {
    bool wrapped = a->n_tokens > 1 && a->t[0].kind == TEXT_LPAREN && asm_is(&a->t[1], "module");
    return depth == (wrapped ? 1 : 0);
}

static void annotation(struct assembler *a, struct asm_customs *customs, const struct text_token *t,
                       size_t depth) {
    if (asm_is(t, "custom") || asm_is(t, "\"custom\"")) {
        if (!customs->anywhere && !is_field_depth(a, depth))
            text_lexer_fail(&a->x, t, "misplaced @custom annotation");
        else
            read_custom(a, customs, t);
    } else if (!customs->anywhere && asm_is(t, "name")) {
        read_name(a, t);
    } else {
        a->needs_data_count |= asm_is(t, "datacount");
        skip_annotation(a, t);
    }
}

/* All tokens, annotations taken out, with the partner of each parenthesis; ends with two TEXT_EOF. */
static void tokenize(struct assembler *a, struct asm_customs *customs) {
    struct open_stack open = {0};
    void *tokens = NULL, *close = NULL;
    for (bool more = true; more && !a->x.status;) {
        struct text_token t = text_lexer_next(&a->x);
        if (t.kind == TEXT_ANNOTATION) {
            annotation(a, customs, &t, open.n);
            continue;
        }
        void *stack = open.items;
        bool full = a->n_tokens > UINT32_MAX - 4 ||
                    atoll_grow(a->alloc, &tokens, &a->token_capacity, a->n_tokens + 2, sizeof t) ||
                    atoll_grow(a->alloc, &close, &a->close_capacity, a->n_tokens + 2, sizeof(uint32_t)) ||
                    atoll_grow(a->alloc, &stack, &open.capacity, open.n + 1, sizeof(uint32_t));
        open.items = stack;
        a->t = tokens;
        a->close = close;
        if (full) {
            asm_nomem(a);
            break;
        }
        a->t[a->n_tokens] = t;
        more = t.kind != TEXT_EOF;
        if (t.kind == TEXT_LPAREN) open.items[open.n++] = a->n_tokens;
        if (t.kind == TEXT_RPAREN) {
            if (open.n)
                a->close[open.items[--open.n]] = a->n_tokens;
            else
                text_lexer_fail(&a->x, &t, "unexpected token )");
        }
        a->n_tokens++;
        a->t[a->n_tokens] = t;
    }
    if (open.n)
        text_lexer_fail(&a->x, &a->t[a->n_tokens - 1], "unexpected token: end of text, unclosed parenthesis");
    atoll_free(a->alloc, open.items, open.capacity * sizeof(uint32_t));
    a->limit = a->n_tokens ? a->n_tokens - 1 : 0;
}

/* ---- pass 1: indices ---- */

static const char *const field_words[N_INDEX_SPACES] = {"type",   "func", "table", "memory",
                                                        "global", "tag",  "elem",  "data"};

static void define_item(struct assembler *a, enum asm_space space) {
    struct asm_id id;
    asm_take_id(a, &id);
    asm_define(a, space, 0, id, a->counts[space]++);
}

/* An import behind a definition is malformed: it would take that definition's index. */
static void note_order(struct assembler *a, enum asm_space space, bool import, const struct text_token *at) {
    static const char *const words[] = {"type",   "function", "table", "memory",
                                        "global", "tag",      "elem",  "data"};
    if (import && a->first_definition)
        asm_fail(a, at, "import after %s", a->first_definition);
    else if (!import && space != SPACE_TYPE && space < SPACE_ELEM && !a->first_definition)
        a->first_definition = words[space];
}

static void scan_import(struct assembler *a, uint32_t close) {
    const struct text_token *at = asm_peek(a);
    for (uint32_t i = a->i; i < close; i++) {
        if (a->t[i].kind != TEXT_LPAREN) continue;
        a->i = i;
        for (unsigned space = SPACE_FUNC; space < SPACE_ELEM; space++) {
            if (!asm_open(a, field_words[space])) continue;
            note_order(a, (enum asm_space)space, true, at);
            define_item(a, (enum asm_space)space);
            return;
        }
    }
}

/* Whether the definition behind its keyword is an inline import, and whether it carries a segment of its own.
 */
static void scan_definition(struct assembler *a, enum asm_space space, uint32_t close) {
    const struct text_token *at = asm_peek(a);
    define_item(a, space);
    bool import = false, segment = false;
    for (uint32_t i = a->i; i < close; i++) {
        if (a->t[i].kind != TEXT_LPAREN) continue;
        a->i = i;
        import |= asm_at_open(a, "import");
        segment |= (space == SPACE_TABLE && asm_at_open(a, "elem")) ||
                   (space == SPACE_MEMORY && asm_at_open(a, "data"));
        i = a->close[i];
    }
    note_order(a, space, import, at);
    if (segment) a->counts[space == SPACE_TABLE ? SPACE_ELEM : SPACE_DATA]++;
}

static void scan_field(struct assembler *a, uint32_t close) {
    if (asm_open(a, "rec")) {
        while (!asm_failed(a) && a->i < close) {
            uint32_t end = a->t[a->i].kind == TEXT_LPAREN ? a->close[a->i] : close;
            if (!asm_open(a, "type")) {
                asm_unexpected(a);
                return;
            }
            define_item(a, SPACE_TYPE);
            a->i = end + 1;
        }
    } else if (asm_open(a, "import")) {
        scan_import(a, close);
    } else if (asm_open(a, "start")) {
        if (a->has_start) asm_fail(a, asm_peek(a), "multiple start sections");
        a->has_start = true;
    } else if (!asm_open(a, "export")) {
        for (unsigned space = 0; space < N_INDEX_SPACES; space++) {
            if (!asm_open(a, field_words[space])) continue;
            scan_definition(a, (enum asm_space)space, close);
            return;
        }
        a->i += a->t[a->i].kind == TEXT_LPAREN;
        asm_unexpected(a);
    }
}

static void scan(struct assembler *a, uint32_t begin) {
    for (a->i = begin; a->i < a->limit && !text_lexer_stopped(&a->x);) {
        if (asm_peek(a)->kind != TEXT_LPAREN) {
            asm_unexpected(a);
            return;
        }
        uint32_t close = a->close[a->i];
        scan_field(a, close);
        a->i = close + 1;
    }
}

/* ---- pass 3: fields ---- */

static void emit_field(struct assembler *a, uint32_t next[N_INDEX_SPACES], uint32_t close) {
    if (asm_open(a, "import")) {
        asm_import(a);
    } else if (asm_open(a, "export")) {
        asm_export(a);
    } else if (asm_open(a, "start")) {
        asm_start(a);
    } else if (asm_open(a, "func")) {
        asm_func(a, next[SPACE_FUNC]++, close);
    } else if (asm_open(a, "table")) {
        asm_table(a, next[SPACE_TABLE]++, close);
    } else if (asm_open(a, "memory")) {
        asm_memory(a, next[SPACE_MEMORY]++);
    } else if (asm_open(a, "global")) {
        asm_global(a, next[SPACE_GLOBAL]++, close);
    } else if (asm_open(a, "tag")) {
        asm_tag(a, next[SPACE_TAG]++);
    } else if (asm_open(a, "elem")) {
        asm_elem(a);
    } else if (asm_open(a, "data")) {
        asm_data(a);
    } else {
        a->i = close; /* types: pass 2 */
    }
    asm_expect_close(a);
}

/* An import's kind, so that its index is counted. */
static int import_space(struct assembler *a, uint32_t close) {
    for (uint32_t i = a->i + 1; i < close; i++) {
        if (a->t[i].kind != TEXT_LPAREN) continue;
        for (int space = SPACE_FUNC; space < SPACE_ELEM; space++)
            if (asm_is(&a->t[i + 1], field_words[space])) return space;
    }
    return -1;
}

static void emit(struct assembler *a, uint32_t begin) {
    uint32_t next[N_INDEX_SPACES] = {0};
    for (a->i = begin; a->i < a->limit && !text_lexer_stopped(&a->x);) {
        uint32_t close = a->close[a->i];
        int space = asm_at_open(a, "import") ? import_space(a, close) : -1;
        emit_field(a, next, close);
        if (space >= 0) next[space]++;
    }
}

/* ---- sections ---- */

static void put_customs(struct bc_buf *out, const struct asm_customs *customs, uint8_t section, bool before) {
    for (size_t i = 0; i < customs->n; i++) {
        const struct asm_custom *c = &customs->items[i];
        if (c->section != section || c->before != before) continue;
        bc_buf_u8(out, 0);
        bc_buf_u32(out, c->to - c->from);
        bc_buf_bytes(out, customs->bytes.data + c->from, c->to - c->from);
    }
}

static void put_section(struct bc_buf *out, uint8_t id, const struct bc_buf *content) {
    bc_buf_u8(out, id);
    bc_buf_u32(out, (uint32_t)content->size);
    bc_buf_bytes(out, content->data, content->size);
    out->failed |= content->failed;
}

static void put_names(struct assembler *a, const struct asm_customs *customs, struct bc_buf *out) {
    struct bc_buf names, content;
    bc_buf_init(&names, a->alloc);
    bc_buf_init(&content, a->alloc);
    if (!customs->has_names) asm_write_names(a, &names);
    if (names.size) {
        bc_buf_u32(&content, 4);
        bc_buf_bytes(&content, "name", 4);
        bc_buf_bytes(&content, names.data, names.size);
        put_section(out, 0, &content);
    }
    if (names.failed || content.failed) asm_nomem(a);
    bc_buf_fini(&names);
    bc_buf_fini(&content);
}

/* The content of a section with its count, whose size is returned; the start section has none. */
static size_t section_content(struct assembler *a, uint8_t id, struct bc_buf *content) {
    size_t head = 0;
    if (id == 1) {
        head = asm_put_types(a, content);
    } else if (id == 12) {
        if (a->needs_data_count) bc_buf_u32(content, a->items[11]);
    } else if (a->section[id].size) {
        if (id != 8) bc_buf_u32(content, a->items[id]);
        head = content->size;
        bc_buf_bytes(content, a->section[id].data, a->section[id].size);
    }
    return head;
}

static void put_module(struct assembler *a, const struct asm_customs *customs, struct bc_buf *out) {
    static const uint8_t order[] = {1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11};
    size_t start = out->size;
    out->failed |= a->groups.failed | customs->bytes.failed;
    bc_buf_bytes(out, "\0asm\1\0\0\0", 8);
    put_customs(out, customs, PLACE_FIRST, true);
    put_customs(out, customs, PLACE_FIRST, false);
    for (size_t i = 0; i < sizeof order; i++) {
        struct bc_buf content;
        bc_buf_init(&content, a->alloc);
        put_customs(out, customs, order[i], true);
        size_t head = section_content(a, order[i], &content);
        out->failed |= a->section[order[i]].failed | content.failed;
        if (content.size) put_section(out, order[i], &content);
        asm_map_section(a, order[i], out->size - start - content.size + head);
        put_customs(out, customs, order[i], false);
        bc_buf_fini(&content);
    }
    put_customs(out, customs, PLACE_LAST, true);
    put_names(a, customs, out);
    put_customs(out, customs, PLACE_LAST, false);
    if (out->failed) asm_nomem(a);
}

/* ---- the module ---- */

/* (module $id? fields), (module binary ...), (module quote ...), or bare fields. Returns where the fields
 * begin. */
static uint32_t open_module(struct assembler *a) {
    a->i = 0;
    if (!asm_open(a, "module")) return 0;
    if (a->close[0] != a->limit - 1) {
        a->i = a->close[0] + 1;
        asm_unexpected(a);
    }
    asm_take_id(a, &a->module_name);
    asm_accept(a, "definition");
    if (!a->module_name.bytes) asm_take_id(a, &a->module_name);
    asm_annotated_name(a, &a->module_name);
    a->limit--;
    return a->i;
}

static void assemble_fields(struct assembler *a, const struct asm_customs *customs, uint32_t begin,
                            struct bc_buf *out) {
    asm_init_ops(a);
    scan(a, begin);
    a->i = begin;
    if (!asm_failed(a)) asm_types(a);
    if (!asm_failed(a)) emit(a, begin);
    if (!asm_failed(a)) put_module(a, customs, out);
}

static void init(struct assembler *a, const struct atoll_alloc *alloc, struct bc_source_map *map) {
    *a = (struct assembler){.alloc = alloc, .map = map};
    bc_arena_init(&a->arena, alloc);
    struct bc_buf *buffers[] = {&a->groups, &a->body, &a->held};
    for (size_t i = 0; i < 3; i++) bc_buf_init(buffers[i], alloc);
    for (size_t i = 0; i < 14; i++) bc_buf_init(&a->section[i], alloc);
}

void asm_fini(struct assembler *a) {
    const struct atoll_alloc *alloc = a->alloc;
    bc_arena_fini(&a->arena);
    atoll_free(alloc, a->t, a->token_capacity * sizeof *a->t);
    atoll_free(alloc, a->close, a->close_capacity * sizeof *a->close);
    atoll_free(alloc, a->types, a->types_capacity * sizeof *a->types);
    atoll_free(alloc, a->frames, a->frames_capacity * sizeof *a->frames);
    atoll_free(alloc, a->labels, a->labels_capacity * sizeof *a->labels);
    atoll_free(alloc, a->marks, a->marks_capacity * sizeof *a->marks);
    atoll_free(alloc, a->annotated, a->annotated_capacity * sizeof *a->annotated);
    for (size_t i = 0; i < N_SPACES; i++)
        atoll_free(alloc, a->names[i].items, a->names[i].capacity * sizeof *a->names[i].items);
    bc_buf_fini(&a->groups);
    bc_buf_fini(&a->body);
    bc_buf_fini(&a->held);
    for (size_t i = 0; i < 14; i++) {
        bc_buf_fini(&a->section[i]);
        bc_source_map_fini(&a->places[i], alloc);
    }
}

static enum atoll_status assemble(const char *text, size_t n_bytes, const struct bc_config *config,
                                  bool in_quotes, struct bc_buf *out, struct bc_source_map *map,
                                  struct atoll_error *err);

/* A quoted module's text is a module text of its own, which cannot quote again. */
static enum atoll_status quoted(struct assembler *a, const struct bc_config *config, struct bc_buf *out,
                                struct bc_source_map *map, bool binary) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, a->alloc);
    while (!asm_failed(a) && asm_peek(a)->kind == TEXT_STRING) asm_string(a, &bytes);
    if (a->i != a->limit) asm_unexpected(a);
    if (bytes.failed) asm_nomem(a);
    enum atoll_status status = a->x.status;
    if (!status && binary)
        bc_buf_bytes(out, bytes.data, bytes.size);
    else if (!status)
        status = assemble((const char *)bytes.data, bytes.size, config, true, out, map, a->x.err);
    bc_buf_fini(&bytes);
    return status;
}

enum atoll_status asm_tokens(struct assembler *a, const struct atoll_alloc *alloc, const char *text,
                             size_t n_bytes, struct atoll_error *err) {
    struct asm_customs customs = {.anywhere = true};
    init(a, alloc, NULL);
    bc_buf_init(&customs.bytes, alloc);
    text_lexer_init(&a->x, text, n_bytes, err);
    a->x.alloc = alloc;
    tokenize(a, &customs);
    atoll_free(alloc, customs.items, customs.capacity * sizeof *customs.items);
    bc_buf_fini(&customs.bytes);
    return a->x.status;
}

static enum atoll_status assemble(const char *text, size_t n_bytes, const struct bc_config *config,
                                  bool in_quotes, struct bc_buf *out, struct bc_source_map *map,
                                  struct atoll_error *err) {
    const struct atoll_alloc *alloc = config && config->alloc ? config->alloc : &atoll_default_alloc;
    struct assembler a;
    struct asm_customs customs = {0};
    if (!n_bytes) text = "";
    enum atoll_status status = text_check(text, n_bytes, err);
    if (status) return status;
    init(&a, alloc, map);
    bc_buf_init(&customs.bytes, alloc);
    text_lexer_init(&a.x, text, n_bytes, err);
    a.x.alloc = alloc;
    a.x.stop = bc_config_stop(config);
    tokenize(&a, &customs);
    status = a.x.status;
    if (!status) {
        uint32_t begin = open_module(&a);
        bool binary = !in_quotes && asm_accept(&a, "binary");
        if (binary || (!in_quotes && asm_accept(&a, "quote"))) {
            status = quoted(&a, config, out, map, binary);
        } else {
            assemble_fields(&a, &customs, begin, out);
            status = a.x.status;
        }
    }
    atoll_free(alloc, customs.items, customs.capacity * sizeof *customs.items);
    bc_buf_fini(&customs.bytes);
    asm_fini(&a);
    return status;
}

enum atoll_status bc_text_assemble(const char *text, size_t n_bytes, const struct bc_config *config,
                                   struct bc_buf *out_bytes, struct bc_source_map *map,
                                   struct atoll_error *err) {
    return assemble(text, n_bytes, config, false, out_bytes, map, err);
}
