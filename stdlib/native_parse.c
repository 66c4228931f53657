/* stdlib/native_parse.c: reads a prototypes file (docs/native.md has the grammar).
 *
 *   library "NAME"; module "NAME";  threads;  handle T;  struct S { ... };  callback prototype;  prototype; */
#include "stdlib/native.h"

#include <stdio.h>

struct parser {
    struct native *n;
    const char *at, *end, *line_start, *token;
    size_t size; /* of the token; 0 = end of the file */
    uint32_t line;
    struct atoll_error *err;
    enum atoll_status status;
};
struct ctype {
    const struct native_scalar *scalar;
    struct native_struct *st;
    const struct native_handle_type *handle;
    struct native_func *callback;
    bool is_void;
    unsigned stars;
};

static bool fail(struct parser *p, const char *what) {
    if (p->status) return false;
    uint32_t column = (uint32_t)(p->token - p->line_start) + 1;
    p->status = atoll_fail(p->err, ATOLL_E_SYNTAX, ATOLL_NO_OFFSET, "%u:%u: %s", p->line, column, what);
    if (p->err) p->err->line = p->line, p->err->column = column;
    return false;
}

/* Told also behind a fault of the text: whoever tries again with more memory hears of that. */
static bool no_memory(struct parser *p) {
    p->status = atoll_fail(p->err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (p->err) p->err->line = p->err->column = 0;
    return false;
}

static bool word_char(char c) {
    return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* To the end of a block comment; false when it has none. */
static bool skip_comment(struct parser *p) {
    p->token = p->at;
    uint32_t line = p->line;
    const char *line_start = p->line_start;
    for (p->at += 2; p->at < p->end; p->at++) {
        if (p->end - p->at >= 2 && !memcmp(p->at, "*/", 2)) return p->at += 2, true;
        if (*p->at == '\n') p->line++, p->line_start = p->at + 1;
    }
    p->line = line, p->line_start = line_start;
    return fail(p, "this comment does not end");
}

static void skip_blank(struct parser *p) {
    while (p->at < p->end) {
        size_t left = (size_t)(p->end - p->at);
        if (*p->at == '\n') {
            p->line++;
            p->line_start = ++p->at;
        } else if (*p->at == ' ' || *p->at == '\t' || *p->at == '\r') {
            p->at++;
        } else if (left > 1 && !memcmp(p->at, "//", 2)) {
            while (p->at < p->end && *p->at != '\n') p->at++;
        } else if (left > 1 && !memcmp(p->at, "/*", 2)) {
            if (!skip_comment(p)) return;
        } else {
            return;
        }
    }
}

static void next(struct parser *p) {
    skip_blank(p);
    if (p->status) {
        p->size = 0;
        return;
    }
    const char *s = p->token = p->at;
    if (s < p->end && word_char(*s)) {
        while (s < p->end && word_char(*s)) s++;
    } else if (s < p->end && *s == '"') {
        for (s++; s < p->end && *s != '"' && *s != '\n'; s++) {}
        if (s < p->end && *s == '"')
            s++;
        else
            fail(p, "this string does not end on its line");
    } else if (p->end - s >= 3 && !memcmp(s, "...", 3)) {
        s += 3;
    } else if (s < p->end) {
        s++;
    }
    p->at = s;
    p->size = (size_t)(s - p->token);
}

static bool is(const struct parser *p, const char *text) {
    return p->size == strlen(text) && !memcmp(p->token, text, p->size);
}
static bool take(struct parser *p, const char *text) {
    if (p->status || !is(p, text)) return false;
    next(p);
    return !p->status;
}
static bool expect(struct parser *p, const char *text) {
    if (take(p, text)) return true;
    char what[40];
    snprintf(what, sizeof what, "expected \"%s\"", text);
    return fail(p, what);
}

static bool at_name(const struct parser *p) {
    return p->size && word_char(*p->token) && !(*p->token >= '0' && *p->token <= '9');
}

static bool take_name(struct parser *p, char out[NATIVE_NAME]) {
    if (!at_name(p)) return fail(p, "expected a name");
    if (p->size >= NATIVE_NAME) return fail(p, "this name is too long");
    memcpy(out, p->token, p->size);
    out[p->size] = 0;
    next(p);
    return !p->status;
}

static bool take_string(struct parser *p, char out[NATIVE_NAME]) {
    if (!p->size || *p->token != '"') return fail(p, "expected a string in quotes");
    size_t n = p->size - 2;
    if (!n || n >= NATIVE_NAME || memchr(p->token, 0, p->size)) return fail(p, "this string does not fit");
    memcpy(out, p->token + 1, n);
    out[n] = 0;
    next(p);
    return expect(p, ";");
}

/* Decimal, up to ten digits. */
static bool take_number(struct parser *p, uint64_t *out) {
    *out = 0;
    if (!p->size || p->size > 10) return fail(p, "expected a number");
    for (size_t i = 0; i < p->size; i++) {
        if (p->token[i] < '0' || p->token[i] > '9') return fail(p, "expected a number");
        *out = *out * 10 + (uint64_t)(p->token[i] - '0');
    }
    next(p);
    return !p->status;
}

/* ---- types ---- */

static bool arithmetic_word(const struct parser *p) {
    return is(p, "signed") || is(p, "unsigned") || is(p, "char") || is(p, "short") || is(p, "int") ||
           is(p, "long");
}

/* "unsigned long int" and its kin, in the order C programs write them. */
static bool take_arithmetic(struct parser *p, struct ctype *t) {
    char name[64] = "";
    bool sign = false, minus = false, plain = false;
    unsigned longs = 0;
    const char *base = NULL;
    for (; arithmetic_word(p); next(p)) {
        if (is(p, "unsigned") || is(p, "signed")) {
            if (sign) return fail(p, "signed or unsigned twice");
            sign = true, minus = is(p, "signed");
        } else if (is(p, "long")) {
            if (++longs > 2) return fail(p, "no C type is that long");
        } else if (is(p, "int")) {
            plain = true;
        } else {
            base = is(p, "char") ? "char" : "short";
        }
    }
    if (base && longs) return fail(p, "long does not go with char or short");
    if (plain && base && !strcmp(base, "char")) return fail(p, "int does not go with char");
    if (!base) base = longs == 2 ? "long long" : longs ? "long" : "int";
    bool named = sign && (!minus || !strcmp(base, "char"));
    snprintf(name, sizeof name, "%s%s", !named ? "" : minus ? "signed " : "unsigned ", base);
    t->scalar = native_scalar_named(name);
    return true;
}

static bool take_declared(struct parser *p, struct ctype *t) {
    char name[NATIVE_NAME];
    const char *token = p->token;
    if (p->size >= NATIVE_NAME || !at_name(p)) return fail(p, "expected a type");
    memcpy(name, token, p->size);
    name[p->size] = 0;
    t->scalar = native_scalar_named(name);
    for (const struct native_handle_type *h = p->n->handle_types; h; h = h->next)
        if (!strcmp(h->name, name)) t->handle = h;
    for (struct native_struct *s = p->n->structs; s; s = s->next)
        if (!strcmp(s->name, name)) t->st = s;
    for (struct native_func *f = p->n->callbacks; f; f = f->next)
        if (!strcmp(f->name, name)) t->callback = f;
    t->is_void = !strcmp(name, "void");
    if (!t->scalar && !t->handle && !t->st && !t->callback && !t->is_void)
        return fail(p, "unknown type; declare it with handle, struct or callback");
    next(p);
    return true;
}

static bool take_type(struct parser *p, struct ctype *t) {
    *t = (struct ctype){0};
    take(p, "const");
    bool tagged_enum = take(p, "enum");
    if (tagged_enum) {
        char name[NATIVE_NAME];
        if (!take_name(p, name)) return false;
        t->scalar = native_scalar_named("enum");
    } else if (arithmetic_word(p)) {
        if (!take_arithmetic(p, t)) return false;
    } else {
        take(p, "struct");
        if (!take_declared(p, t)) return false;
    }
    for (;;) {
        if (take(p, "*"))
            t->stars++;
        else if (!take(p, "const") && !take(p, "restrict"))
            return !p->status;
    }
}

/* ---- lengths and annotations ---- */

/* Parameters may be named before they are declared, so names are resolved behind the list. */
struct place {
    uint32_t line;
    const char *token, *line_start;
};
struct later_names {
    char name[NATIVE_FACTORS][NATIVE_NAME], owner[NATIVE_NAME];
    struct place length_place, owner_place;
};

static struct place here(const struct parser *p) { return (struct place){p->line, p->token, p->line_start}; }
static bool fail_at(struct parser *p, struct place at, const char *what) {
    p->line = at.line, p->token = at.token, p->line_start = at.line_start;
    return fail(p, what);
}

static bool take_factor(struct parser *p, struct native_param *out, struct later_names *names) {
    if (out->n_factors == NATIVE_FACTORS) return fail(p, "too many factors in a length");
    struct native_factor *f = &out->factors[out->n_factors];
    *f = (struct native_factor){.param = -1, .deref = take(p, "*")};
    names->name[out->n_factors][0] = 0;
    if (!at_name(p)) {
        if (!p->size || f->deref || *p->token < '0' || *p->token > '9')
            return fail(p, "expected a parameter's name or a number");
        if (!take_number(p, &f->constant)) return false;
    } else if (!take_name(p, names->name[out->n_factors])) {
        return false;
    }
    out->n_factors++;
    return true;
}

static bool take_length(struct parser *p, struct native_param *out, struct later_names *names) {
    if (!take(p, "(")) return !p->status;
    names->length_place = here(p);
    do {
        if (!take_factor(p, out, names)) return false;
    } while (take(p, "*"));
    return expect(p, ")");
}

static bool take_owner(struct parser *p, struct later_names *names) {
    if (names->owner[0]) return fail(p, "owner twice");
    next(p);
    if (!expect(p, "(")) return false;
    names->owner_place = here(p);
    return take_name(p, names->owner) && expect(p, ")");
}

/* "destroy", "destroy when -1" */
static bool take_destroy(struct parser *p, struct native_param *out) {
    uint64_t number;
    out->destroy = true;
    next(p);
    if (!take(p, "when")) return !p->status;
    bool minus = take(p, "-");
    if (!take_number(p, &number)) return false;
    out->conditional = true;
    out->destroy_when = minus ? -(int64_t)number : (int64_t)number;
    return true;
}

/* Annotations that say what a pointer is, one of them. */
struct roles {
    bool string, data, inside, null;
};

static bool *role_of(const struct parser *p, struct roles *roles) {
    return is(p, "string")   ? &roles->string
           : is(p, "data")   ? &roles->data
           : is(p, "inside") ? &roles->inside
           : is(p, "null")   ? &roles->null
                             : NULL;
}

static bool take_annotations(struct parser *p, struct native_param *out, struct later_names *names,
                             struct roles *roles) {
    while (at_name(p)) {
        bool in = is(p, "in"), both = is(p, "inout"), *role = role_of(p, roles);
        if (role) {
            *role = true;
            next(p);
        } else if (in || both || is(p, "out")) {
            if (out->direction) return fail(p, "in, out or inout twice");
            out->direction = (uint8_t)(in ? NATIVE_IN : both ? NATIVE_IN | NATIVE_OUT : NATIVE_OUT);
            next(p);
            if (!take_length(p, out, names)) return false;
        } else if (is(p, "owner")) {
            if (!take_owner(p, names)) return false;
        } else if (is(p, "destroy")) {
            if (!take_destroy(p, out)) return false;
        } else if (!(is(p, "nullable") && (out->nullable = take(p, "nullable"))) &&
                   !(is(p, "persistent") && (out->persistent = take(p, "persistent")))) {
            return fail(p, "unknown annotation");
        }
    }
    return !p->status;
}

static bool classify_pointer(struct parser *p, const struct ctype *t, struct native_param *out) {
    if (t->handle && t->stars == 1) return out->kind = NATIVE_HANDLE, true;
    if (t->handle && t->stars == 2 && out->direction == NATIVE_OUT)
        return out->kind = NATIVE_HANDLE_OUT, true;
    if (t->handle || t->stars != 1) return fail(p, "a pointer to a pointer can only be a handle marked out");
    if (!out->direction) return fail(p, "say what this pointer is: in, out, inout, string, data ...");
    if (out->n_factors) {
        if (t->st ? !native_struct_in_place(t->st)
                  : t->scalar && t->scalar->host_size != t->scalar->guest_size[0])
            return fail(p,
                        "elements differ in size between the host and wasm32, so they cannot stay in place");
        out->kind = NATIVE_BUFFER;
        out->element = t->st ? t->st->host_size : t->scalar ? t->scalar->host_size : 1;
        return true;
    }
    if (t->is_void) return fail(p, "a void pointer needs a length");
    out->kind = t->st ? NATIVE_STRUCT_PTR : NATIVE_CELL;
    return true;
}

static bool classify_kind(struct parser *p, const struct ctype *t, struct native_param *out,
                          const struct roles *roles) {
    int n_roles = roles->string + roles->data + roles->inside + roles->null;
    if (n_roles && !t->stars && !(roles->null && t->callback))
        return fail(p, "this annotation is for pointers");
    if (n_roles > 1 || (n_roles && out->direction)) return fail(p, "these annotations do not go together");
    if (roles->null) return out->kind = NATIVE_NULL, true;
    if (roles->data) return out->kind = NATIVE_DATA, true;
    if (roles->inside) return out->kind = NATIVE_INSIDE, true;
    if (roles->string) {
        if (t->stars != 1 || !t->scalar || t->scalar->host_size != 1) return fail(p, "a string is a char *");
        return out->kind = NATIVE_STRING, true;
    }
    if (t->stars && t->callback) return fail(p, "a callback is named without a star");
    if (t->stars) return classify_pointer(p, t, out);
    if (t->is_void || t->handle) return fail(p, "a parameter cannot be of this type");
    out->kind = t->callback ? NATIVE_CALLBACK : t->st ? NATIVE_STRUCT : NATIVE_SCALAR;
    return true;
}

static bool classify(struct parser *p, const struct ctype *t, struct native_param *out,
                     const struct roles *roles, const struct later_names *names) {
    out->scalar = t->scalar, out->st = t->st, out->handle = t->handle, out->callback = t->callback;
    if (!classify_kind(p, t, out, roles)) return false;
    if (out->destroy && out->kind != NATIVE_HANDLE) return fail(p, "destroy is for handles");
    if (out->persistent && out->kind != NATIVE_CALLBACK) return fail(p, "persistent is for callbacks");
    if (names->owner[0] && out->kind != NATIVE_HANDLE_OUT)
        return fail_at(p, names->owner_place, "owner is for new handles: those marked out, or the result");
    return true;
}

static bool resolve_lengths(struct parser *p, struct native_func *f, uint32_t i,
                            const struct later_names *names) {
    for (uint32_t k = 0; k < f->params[i].n_factors; k++) {
        struct native_factor *factor = &f->params[i].factors[k];
        if (!names->name[k][0]) continue;
        for (uint32_t j = 0; j < f->n_params; j++)
            if (!strcmp(f->params[j].name, names->name[k])) factor->param = (int)j;
        const struct native_param *of = factor->param < 0 ? NULL : &f->params[factor->param];
        enum native_kind wanted = factor->deref ? NATIVE_CELL : NATIVE_SCALAR;
        if (of && of->kind == wanted && !of->scalar->is_float &&
            (!factor->deref || (of->direction & NATIVE_IN)))
            continue;
        return fail_at(p, names->length_place,
                       "a length is an integer parameter, or * and an integer that C reads");
    }
    return true;
}

/* Of a new handle: a handle that C is given and that the call does not end. */
static bool resolve_owner(struct parser *p, struct native_func *f, struct native_param *out,
                          const struct later_names *names) {
    out->owner = -1;
    if (!names->owner[0]) return true;
    for (uint32_t i = 0; i < f->n_params; i++)
        if (!strcmp(f->params[i].name, names->owner)) out->owner = (int)i;
    const struct native_param *of = out->owner < 0 ? NULL : &f->params[out->owner];
    bool fits = of && of->kind == NATIVE_HANDLE && !of->destroy;
    if (!fits) return fail_at(p, names->owner_place, "an owner is a handle parameter that lives on");
    return true;
}

/* ---- declarations ---- */

static bool take_param(struct parser *p, struct native_func *f, struct later_names *names, bool callback) {
    if (f->n_params == NATIVE_PARAMS) return fail(p, "too many parameters");
    struct native_param *out = &f->params[f->n_params];
    struct ctype t;
    struct roles roles = {false};
    if (!take_type(p, &t) || !take_name(p, out->name) || !take_annotations(p, out, names, &roles) ||
        !classify(p, &t, out, &roles, names))
        return false;
    if (callback && ((out->kind != NATIVE_SCALAR && out->kind != NATIVE_DATA && out->kind != NATIVE_INSIDE &&
                      out->kind != NATIVE_HANDLE) ||
                     out->destroy))
        return fail(p, "a callback takes scalars, handles, data and pointers marked inside");
    if (!callback && out->kind == NATIVE_INSIDE) return fail(p, "inside is for the parameters of callbacks");
    if (f->variadic && out->kind == NATIVE_SCALAR &&
        (out->scalar->host_size < 4 || out->scalar->ffi == &ffi_type_float))
        return fail(p, "behind ... C passes this type as int or double");
    f->n_params++;
    return true;
}

/* A number of the guest's may stand for a pointer only where C hands it to a callback and has no other use
 * for it, so there are as many as callbacks that take one: C would follow any other. */
static bool data_is_for_callbacks(struct parser *p, const struct native_func *f, bool callback) {
    uint32_t data = 0, taken = 0;
    for (uint32_t i = 0; i < f->n_params; i++) {
        data += f->params[i].kind == NATIVE_DATA;
        const struct native_func *of = f->params[i].kind == NATIVE_CALLBACK ? f->params[i].callback : NULL;
        bool takes = false;
        for (uint32_t k = 0; of && k < of->n_params; k++) takes |= of->params[k].kind == NATIVE_DATA;
        taken += takes;
    }
    if (callback) return data <= 1 || fail(p, "a callback takes one data pointer");
    return data <= taken ||
           fail(p, "data is for a callback that takes data; elsewhere C would follow the number");
}

static bool take_list(struct parser *p, struct native_func *f, struct later_names *names, bool callback) {
    bool ok = expect(p, "(");
    if (ok && is(p, "void")) { /* (void), but also (void *p ...) */
        struct parser before = *p;
        next(p);
        if (!is(p, ")")) *p = before;
    }
    while (ok && !is(p, ")")) {
        if (take(p, "...")) {
            if (f->variadic || !f->n_params || callback) ok = fail(p, "... stands once, behind a parameter");
            f->variadic = true, f->n_fixed = f->n_params;
        } else {
            ok = take_param(p, f, &names[f->n_params], callback);
        }
        if (ok && !is(p, ")")) ok = expect(p, ",") && (!is(p, ")") || fail(p, "expected a type"));
    }
    return ok && data_is_for_callbacks(p, f, callback) && expect(p, ")");
}

static bool classify_result(struct parser *p, const struct ctype *t, struct native_param *out,
                            bool callback) {
    out->scalar = t->scalar, out->st = t->st, out->handle = t->handle;
    if (t->is_void && !t->stars) return out->kind = NATIVE_VOID, true;
    if (t->scalar && !t->stars) return out->kind = NATIVE_SCALAR, true;
    if (callback) return fail(p, "a callback returns a scalar or nothing");
    if (t->st && !t->stars) return out->kind = NATIVE_STRUCT, true;
    if (t->handle && t->stars == 1) return out->kind = NATIVE_HANDLE, true;
    if (t->scalar && t->stars == 1 && t->scalar->host_size == 1) return out->kind = NATIVE_STRING, true;
    return fail(p, "a function returns a scalar, a struct, a handle, a string or nothing");
}

/* What stands behind the parameters; the last of `names` is the result's. */
static bool take_rest(struct parser *p, struct native_func *f, struct later_names *names) {
    for (;;) {
        if (take(p, "errno")) {
            f->gives_errno = true;
        } else if (take(p, "as")) {
            if (!take_name(p, f->name)) return false;
        } else if (is(p, "owner") && f->result.kind == NATIVE_HANDLE) {
            if (!take_owner(p, &names[NATIVE_PARAMS])) return false;
        } else {
            break;
        }
    }
    f->result.owner = -1;
    bool ok = resolve_owner(p, f, &f->result, &names[NATIVE_PARAMS]);
    for (uint32_t i = 0; ok && i < f->n_params; i++) {
        ok = resolve_lengths(p, f, i, &names[i]) && resolve_owner(p, f, &f->params[i], &names[i]);
        if (ok && f->params[i].conditional && (f->result.kind != NATIVE_SCALAR || f->result.scalar->is_float))
            ok = fail(p, "destroy when needs a function that returns an integer");
    }
    return ok;
}

static bool take_prototype(struct parser *p, bool callback) {
    struct native_func *f = atoll_new(p->n->alloc, 1, sizeof *f);
    if (!f) return no_memory(p);
    struct native_func **list = callback ? &p->n->callbacks : &p->n->funcs, *last = *list;
    f->native = p->n;
    f->next = last;
    *list = f;
    struct ctype t;
    if (!take_type(p, &t) || !classify_result(p, &t, &f->result, callback)) return false;
    f->line = p->line, f->column = (uint32_t)(p->token - p->line_start) + 1;
    if (!take_name(p, f->symbol_name)) return false;
    memcpy(f->name, f->symbol_name, sizeof f->name);
    struct later_names *names = atoll_new(p->n->alloc, NATIVE_PARAMS + 1, sizeof *names);
    if (!names) return no_memory(p);
    bool ok = take_list(p, f, names, callback) && take_rest(p, f, names);
    atoll_free(p->n->alloc, names, (NATIVE_PARAMS + 1) * sizeof *names);
    if (!ok) return false;
    if (!f->variadic) f->n_fixed = f->n_params;
    for (; last; last = last->next)
        if (!strcmp(last->name, f->name)) return fail(p, "this name is declared twice; use \"as\"");
    return expect(p, ";");
}

static bool take_field(struct parser *p, struct native_struct *s) {
    char name[NATIVE_NAME];
    struct ctype t;
    uint64_t count = 1;
    if (!take_type(p, &t)) return false;
    if (t.stars || (!t.scalar && !t.st))
        return fail(p, "a field is a scalar or a struct; pointers cannot cross inside a struct");
    if (t.st == s) return fail(p, "a struct cannot hold itself");
    struct place at = here(p);
    if (!take_name(p, name)) return false;
    while (take(p, "[")) {
        uint64_t n;
        if (!take_number(p, &n) || !expect(p, "]")) return false;
        if (!n || n > NATIVE_STRUCT_BYTES || (count *= n) > NATIVE_STRUCT_BYTES)
            return fail_at(p, at, "this struct is too large");
    }
    enum atoll_status status = native_struct_add(p->n, s, t.scalar, t.st, (uint32_t)count);
    if (status == ATOLL_E_NOMEM) return no_memory(p);
    if (status) return fail_at(p, at, "this struct is too large");
    return expect(p, ";");
}

static bool take_struct(struct parser *p) {
    struct native_struct *s = atoll_new(p->n->alloc, 1, sizeof *s);
    if (!s) return no_memory(p);
    s->next = p->n->structs;
    p->n->structs = s;
    s->host_align = s->guest_align[0] = s->guest_align[1] = 1;
    if (!take_name(p, s->name) || !expect(p, "{")) return false;
    while (!is(p, "}"))
        if (!take_field(p, s)) return false;
    if (!s->n_fields) return fail(p, "a struct has fields");
    native_struct_end(s);
    next(p);
    return expect(p, ";");
}

static bool take_handle(struct parser *p) {
    struct native_handle_type *h = atoll_new(p->n->alloc, 1, sizeof *h);
    if (!h) return no_memory(p);
    h->next = p->n->handle_types;
    p->n->handle_types = h;
    return take_name(p, h->name) && expect(p, ";");
}

static bool take_declaration(struct parser *p) {
    if (take(p, "library")) return take_string(p, p->n->library);
    if (take(p, "module")) return take_string(p, p->n->module);
    if (take(p, "threads")) return p->n->threads = true, expect(p, ";");
    if (take(p, "handle")) return take_handle(p);
    if (take(p, "callback")) return take_prototype(p, true);
    if (p->status) return false; /* behind one of these words */
    if (is(p, "struct")) {
        struct parser before = *p;
        char name[NATIVE_NAME];
        next(p);
        if (take_name(p, name) && is(p, "{")) {
            *p = before;
            next(p);
            return take_struct(p);
        }
        *p = before;
    }
    return take_prototype(p, false);
}

enum atoll_status native_parse(struct native *n, const char *text, size_t size, struct atoll_error *err) {
    struct parser p = {
        .n = n, .at = text, .end = text + size, .line_start = text, .token = text, .line = 1, .err = err};
    next(&p);
    while (!p.status && p.size)
        if (!take_declaration(&p)) break;
    if (!p.status && !n->library[0]) fail(&p, "the file names no library");
    return p.status;
}
