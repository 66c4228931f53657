/* bytecode/text/script.c: test scripts to lists of commands. Source: the specification repository,
 * interpreter/README, "Scripts". */
#include "bytecode/text/asm.h"
#include "bytecode/reader.h"

struct bc_script {
    const struct atoll_alloc *alloc;
    struct bc_arena arena;
    struct bc_command *commands;
    size_t n, capacity;
};

struct parser {
    struct assembler a;
    struct bc_script *script;
};

static void *keep(struct parser *p, size_t n, size_t size) {
    void *q = bc_arena_new(&p->script->arena, n, size);
    if (!q) asm_nomem(&p->a);
    return q;
}

static struct bc_name string(struct parser *p) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, p->a.alloc);
    asm_string(&p->a, &bytes);
    char *copy = keep(p, bytes.size, 1);
    if (bytes.failed) asm_nomem(&p->a);
    if (copy && bytes.size) memcpy(copy, bytes.data, bytes.size);
    struct bc_name name = {copy, copy ? (uint32_t)bytes.size : 0};
    bc_buf_fini(&bytes);
    return name;
}

/* An identifier with its dollar sign, copied; empty where there is none. */
static struct bc_name identifier(struct parser *p) {
    const struct text_token *t = asm_peek(&p->a);
    if (t->kind != TEXT_ID) return (struct bc_name){0};
    p->a.i++;
    char *copy = keep(p, t->size, 1);
    if (copy) memcpy(copy, t->begin, t->size);
    return (struct bc_name){copy, copy ? (uint32_t)t->size : 0};
}

/* ---- values ---- */

static enum bc_pattern nan_pattern(struct parser *p) {
    if (asm_accept(&p->a, "nan:canonical")) return BC_PAT_NAN_CANONICAL;
    return asm_accept(&p->a, "nan:arithmetic") ? BC_PAT_NAN_ARITHMETIC : BC_PAT_VALUE;
}

static void vector(struct parser *p, struct bc_const *c) {
    static const struct {
        const char *shape;
        uint8_t bytes, is_float;
    } shapes[] = {{"i8x16", 1, 0}, {"i16x8", 2, 0}, {"i32x4", 4, 0},
                  {"i64x2", 8, 0}, {"f32x4", 4, 1}, {"f64x2", 8, 1}};
    size_t s = 0;
    while (s < 6 && !asm_accept(&p->a, shapes[s].shape)) s++;
    if (s == 6) {
        asm_unexpected(&p->a);
        return;
    }
    c->type = BC_V128;
    c->lane_bytes = shapes[s].bytes;
    for (unsigned k = 0; k < 16u / c->lane_bytes && !asm_failed(&p->a); k++) {
        uint64_t bits = 0;
        enum bc_pattern pattern = shapes[s].is_float ? nan_pattern(p) : BC_PAT_VALUE;
        if (pattern == BC_PAT_VALUE)
            bits = !shapes[s].is_float  ? asm_int(&p->a, 8u * c->lane_bytes)
                   : c->lane_bytes == 4 ? asm_f32(&p->a)
                                        : asm_f64(&p->a);
        else
            c->pattern = BC_PAT_VECTOR;
        if (k < 4) c->lane_pattern[k] = (uint8_t)pattern;
        memcpy((char *)c->bits + (size_t)k * c->lane_bytes, &bits, c->lane_bytes);
    }
}

static bool number(struct parser *p, struct bc_const *c) {
    if (asm_open(&p->a, "i32.const")) {
        c->type = BC_I32;
        c->bits[0] = asm_int(&p->a, 32);
    } else if (asm_open(&p->a, "i64.const")) {
        c->type = BC_I64;
        c->bits[0] = asm_int(&p->a, 64);
    } else if (asm_open(&p->a, "f32.const")) {
        c->type = BC_F32;
        c->pattern = nan_pattern(p);
        if (c->pattern == BC_PAT_VALUE) c->bits[0] = asm_f32(&p->a);
    } else if (asm_open(&p->a, "f64.const")) {
        c->type = BC_F64;
        c->pattern = nan_pattern(p);
        if (c->pattern == BC_PAT_VALUE) c->bits[0] = asm_f64(&p->a);
    } else if (asm_open(&p->a, "v128.const")) {
        vector(p, c);
    } else {
        return false;
    }
    return true;
}

static bool reference(struct parser *p, struct bc_const *c) {
    static const struct {
        const char *word;
        enum bc_heap_kind heap;
    } classes[] = {{"ref.func", BC_HEAP_FUNC}, {"ref.any", BC_HEAP_ANY},       {"ref.eq", BC_HEAP_EQ},
                   {"ref.i31", BC_HEAP_I31},   {"ref.struct", BC_HEAP_STRUCT}, {"ref.array", BC_HEAP_ARRAY},
                   {"ref.exn", BC_HEAP_EXN}};
    if (asm_open(&p->a, "ref.null")) {
        c->pattern = BC_PAT_REF_NULL;
        if (asm_peek(&p->a)->kind != TEXT_RPAREN) c->type = bc_ref(true, asm_heaptype(&p->a));
        return true;
    }
    if (asm_open(&p->a, "ref.extern")) {
        bool value = asm_peek(&p->a)->kind == TEXT_NAT;
        c->type = bc_ref_abstract(false, BC_HEAP_EXTERN);
        c->heap = BC_HEAP_EXTERN;
        c->pattern = value ? BC_PAT_REF_EXTERN : BC_PAT_REF;
        if (value) c->bits[0] = asm_nat(&p->a, 32, "i32 constant");
        return true;
    }
    if (asm_open(&p->a, "ref.host")) {
        c->type = bc_ref_abstract(false, BC_HEAP_ANY);
        c->pattern = BC_PAT_REF_HOST;
        c->bits[0] = asm_nat(&p->a, 32, "i32 constant");
        return true;
    }
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (!asm_open(&p->a, classes[i].word)) continue;
        c->type = bc_ref_abstract(false, classes[i].heap);
        c->heap = classes[i].heap;
        c->pattern = BC_PAT_REF;
        return true;
    }
    return false;
}

static bool simple_value(struct parser *p, struct bc_const *c) {
    *c = (struct bc_const){0};
    if (!number(p, c) && !reference(p, c)) return false;
    asm_expect_close(&p->a);
    return true;
}

/* (either v ...): alternatives are not alternatives again, so this does not nest. */
static bool value(struct parser *p, struct bc_const *c, bool either) {
    if (simple_value(p, c)) return true;
    if (!either || !asm_open(&p->a, "either")) return false;
    struct bc_const *list = keep(p, 16, sizeof *list);
    uint32_t n = 0;
    while (list && n < 16 && simple_value(p, &list[n])) n++;
    *c = (struct bc_const){.pattern = BC_PAT_EITHER, .n_alternatives = n, .alternatives = list};
    asm_expect_close(&p->a);
    return true;
}

static const struct bc_const *values(struct parser *p, uint32_t *out_n) {
    uint32_t n = 0, begin = p->a.i;
    struct bc_const scratch;
    while (!asm_failed(&p->a) && asm_peek(&p->a)->kind == TEXT_LPAREN && value(p, &scratch, true)) n++;
    struct bc_const *list = keep(p, n, sizeof *list);
    p->a.i = begin;
    for (uint32_t i = 0; list && i < n && !asm_failed(&p->a); i++) value(p, &list[i], true);
    *out_n = n;
    return list;
}

/* ---- actions and modules ---- */

static bool action(struct parser *p, struct bc_action *out) {
    out->is_get = asm_at_open(&p->a, "get");
    if (!asm_open(&p->a, "get") && !asm_open(&p->a, "invoke")) return false;
    out->module = identifier(p);
    out->field = string(p);
    if (!out->is_get) out->args = values(p, &out->n_args);
    asm_expect_close(&p->a);
    return true;
}

/* The text between two tokens, copied. */
static void span(struct parser *p, struct bc_command *c, uint32_t first, uint32_t last) {
    const char *begin = p->a.t[first].begin, *end = p->a.t[last].begin + p->a.t[last].size;
    char *copy = keep(p, (size_t)(end - begin), 1);
    if (copy) memcpy(copy, begin, (size_t)(end - begin));
    c->source = BC_SOURCE_TEXT;
    c->module_text = copy;
    c->module_text_size = copy ? (size_t)(end - begin) : 0;
}

static void strings(struct parser *p, struct bc_command *c) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, p->a.alloc);
    while (asm_peek(&p->a)->kind == TEXT_STRING) asm_string(&p->a, &bytes);
    char *copy = keep(p, bytes.size, 1);
    if (copy && bytes.size) memcpy(copy, bytes.data, bytes.size);
    if (bytes.failed) asm_nomem(&p->a);
    c->module_text = copy;
    c->module_text_size = copy ? bytes.size : 0;
    bc_buf_fini(&bytes);
}

static bool module(struct parser *p, struct bc_command *c) {
    uint32_t first = p->a.i, last = p->a.close[p->a.i];
    if (!asm_open(&p->a, "module")) return false;
    c->has_module = true;
    if (asm_accept(&p->a, "instance")) {
        c->kind = BC_CMD_INSTANCE;
        c->name = identifier(p);
        c->name2 = identifier(p);
        asm_expect_close(&p->a);
        return true;
    }
    c->definition = asm_accept(&p->a, "definition");
    c->name = identifier(p);
    if (asm_accept(&p->a, "binary")) {
        c->source = BC_SOURCE_BINARY;
        strings(p, c);
        asm_expect_close(&p->a);
    } else if (asm_accept(&p->a, "quote")) {
        c->source = BC_SOURCE_QUOTE;
        strings(p, c);
        asm_expect_close(&p->a);
    } else {
        span(p, c, first, last);
        p->a.i = last + 1;
    }
    return true;
}

/* ---- commands ---- */

static bool assertion(struct parser *p, struct bc_command *c) {
    static const struct {
        const char *word;
        enum bc_command_kind kind;
    } kinds[] = {{"assert_return", BC_CMD_ASSERT_RETURN},
                 {"assert_trap", BC_CMD_ASSERT_TRAP},
                 {"assert_exhaustion", BC_CMD_ASSERT_EXHAUSTION},
                 {"assert_exception", BC_CMD_ASSERT_EXCEPTION},
                 {"assert_malformed", BC_CMD_ASSERT_MALFORMED},
                 {"assert_malformed_custom", BC_CMD_ASSERT_MALFORMED_CUSTOM},
                 {"assert_invalid", BC_CMD_ASSERT_INVALID},
                 {"assert_invalid_custom", BC_CMD_ASSERT_INVALID_CUSTOM},
                 {"assert_unlinkable", BC_CMD_ASSERT_UNLINKABLE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!asm_open(&p->a, kinds[i].word)) continue;
        if (!action(p, &c->action) && !module(p, c)) asm_unexpected(&p->a);
        c->kind = kinds[i].kind;
        if (c->kind == BC_CMD_ASSERT_RETURN)
            c->expected = values(p, &c->n_expected);
        else if (c->kind != BC_CMD_ASSERT_EXCEPTION)
            c->text = string(p);
        asm_expect_close(&p->a);
        return true;
    }
    return false;
}

static bool known_command(struct parser *p, struct bc_command *c) {
    c->kind = BC_CMD_MODULE;
    if (module(p, c)) return true;
    c->kind = BC_CMD_ACTION;
    if (action(p, &c->action)) return true;
    if (assertion(p, c)) return true;
    if (!asm_open(&p->a, "register")) return false;
    c->kind = BC_CMD_REGISTER;
    c->text = string(p);
    c->name = identifier(p);
    asm_expect_close(&p->a);
    return true;
}

static void push(struct parser *p, const struct bc_command *c) {
    struct bc_script *s = p->script;
    void *q = s->commands;
    if (atoll_grow(s->alloc, &q, &s->capacity, s->n + 1, sizeof *s->commands)) {
        asm_nomem(&p->a);
        return;
    }
    s->commands = q;
    s->commands[s->n++] = *c;
}

static void commands(struct parser *p) {
    uint32_t fields = BC_NONE; /* first of the fields that stand at the top without a (module ...) */
    while (p->a.i < p->a.limit && !asm_failed(&p->a)) {
        uint32_t at = p->a.i;
        if (asm_peek(&p->a)->kind != TEXT_LPAREN) {
            asm_unexpected(&p->a);
            return;
        }
        struct bc_command c = {.line = p->a.t[at].line}, implied = {0};
        bool known = known_command(p, &c);
        if (!known && fields == BC_NONE) fields = at;
        if (!known) p->a.i = p->a.close[at] + 1;
        bool ends = fields != BC_NONE && (known || p->a.i == p->a.limit);
        if (ends) {
            implied =
                (struct bc_command){.kind = BC_CMD_MODULE, .has_module = true, .line = p->a.t[fields].line};
            span(p, &implied, fields, known ? at - 1 : p->a.i - 1);
            push(p, &implied);
            fields = BC_NONE;
        }
        if (known) push(p, &c);
    }
}

enum atoll_status bc_script_parse(const char *text, size_t n_bytes, const struct atoll_alloc *alloc,
                                  struct bc_script **out, struct atoll_error *err) {
    struct parser p;
    if (!alloc) alloc = &atoll_default_alloc;
    enum atoll_status status = text_check(text, n_bytes, err);
    if (status) return status;
    p.script = atoll_new(alloc, 1, sizeof *p.script);
    if (!p.script) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    p.script->alloc = alloc;
    bc_arena_init(&p.script->arena, alloc);
    if (!asm_tokens(&p.a, alloc, text, n_bytes, err)) commands(&p);
    status = p.a.x.status;
    asm_fini(&p.a);
    if (status)
        bc_script_free(p.script);
    else
        *out = p.script;
    return status;
}

size_t bc_script_count(const struct bc_script *s) { return s->n; }
const struct bc_command *bc_script_command(const struct bc_script *s, size_t i) { return &s->commands[i]; }

enum atoll_status bc_script_module_bytes(const struct bc_script *s, const struct bc_command *c,
                                         const struct bc_config *config, struct bc_buf *out,
                                         struct atoll_error *err) {
    (void)s;
    if (c->source != BC_SOURCE_BINARY)
        return bc_text_assemble(c->module_text, c->module_text_size, config, out, NULL, err);
    bc_buf_bytes(out, c->module_text, c->module_text_size);
    return out->failed ? atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory") : ATOLL_OK;
}

void bc_script_free(struct bc_script *s) {
    if (!s) return;
    atoll_free(s->alloc, s->commands, s->capacity * sizeof *s->commands);
    bc_arena_fini(&s->arena);
    atoll_free(s->alloc, s, sizeof *s);
}
