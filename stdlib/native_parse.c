/* stdlib/native_parse.c: reads a prototypes file (docs/native.md has the grammar).
 *
 *   library "NAME"; module "NAME";  handle T;  struct S { ... };  callback prototype;  prototype; */
#include "stdlib/native.h"

#include <stdio.h>

#define SC(text, type, ffi, guest, sign, flt)                                                                \
    { text, &ffi, sizeof(type), guest, sign, flt }
static const struct native_scalar scalars[] = {
    SC("char", char, ffi_type_schar, 1, true, false),
    SC("signed char", signed char, ffi_type_schar, 1, true, false),
    SC("unsigned char", unsigned char, ffi_type_uchar, 1, false, false),
    SC("short", short, ffi_type_sshort, 2, true, false),
    SC("unsigned short", unsigned short, ffi_type_ushort, 2, false, false),
    SC("int", int, ffi_type_sint, 4, true, false),
    SC("enum", int, ffi_type_sint, 4, true, false),
    SC("unsigned int", unsigned, ffi_type_uint, 4, false, false),
    SC("unsigned", unsigned, ffi_type_uint, 4, false, false),
    SC("long", long, ffi_type_slong, 4, true, false),
    SC("unsigned long", unsigned long, ffi_type_ulong, 4, false, false),
    SC("long long", long long, ffi_type_sint64, 8, true, false),
    SC("unsigned long long", unsigned long long, ffi_type_uint64, 8, false, false),
    SC("size_t", size_t, ffi_type_uint64, 4, false, false),
    SC("ssize_t", ssize_t, ffi_type_sint64, 4, true, false),
    SC("int8_t", int8_t, ffi_type_sint8, 1, true, false),
    SC("uint8_t", uint8_t, ffi_type_uint8, 1, false, false),
    SC("int16_t", int16_t, ffi_type_sint16, 2, true, false),
    SC("uint16_t", uint16_t, ffi_type_uint16, 2, false, false),
    SC("int32_t", int32_t, ffi_type_sint32, 4, true, false),
    SC("uint32_t", uint32_t, ffi_type_uint32, 4, false, false),
    SC("int64_t", int64_t, ffi_type_sint64, 8, true, false),
    SC("uint64_t", uint64_t, ffi_type_uint64, 8, false, false),
    SC("_Bool", bool, ffi_type_uint8, 1, false, false),
    SC("bool", bool, ffi_type_uint8, 1, false, false),
    SC("float", float, ffi_type_float, 4, true, true),
    SC("double", double, ffi_type_double, 8, true, true),
};

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

static bool no_memory(struct parser *p) {
    if (!p->status) p->status = atoll_fail(p->err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return false;
}

static bool word_char(char c) {
    return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
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
        } else {
            return;
        }
    }
}

static void next(struct parser *p) {
    skip_blank(p);
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
    return true;
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
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        if (!strcmp(scalars[i].name, name)) t->scalar = &scalars[i];
    return true;
}

static bool take_declared(struct parser *p, struct ctype *t) {
    char name[NATIVE_NAME];
    const char *token = p->token;
    if (p->size >= NATIVE_NAME || !at_name(p)) return fail(p, "expected a type");
    memcpy(name, token, p->size);
    name[p->size] = 0;
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        if (!strcmp(scalars[i].name, name)) t->scalar = &scalars[i];
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
        t->scalar = &scalars[6];
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
struct length_names {
    char name[NATIVE_FACTORS][NATIVE_NAME];
    uint32_t line;
    const char *token, *line_start;
};

static bool take_factor(struct parser *p, struct native_param *out, struct length_names *names) {
    if (out->n_factors == NATIVE_FACTORS) return fail(p, "too many factors in a length");
    struct native_factor *f = &out->factors[out->n_factors];
    *f = (struct native_factor){.param = -1, .deref = take(p, "*")};
    names->name[out->n_factors][0] = 0;
    if (!at_name(p)) {
        if (!p->size || f->deref || *p->token < '0' || *p->token > '9')
            return fail(p, "expected a parameter's name or a number");
        for (size_t i = 0; i < p->size; i++) {
            if (p->token[i] < '0' || p->token[i] > '9' || f->constant > UINT32_MAX)
                return fail(p, "this is not a length");
            f->constant = f->constant * 10 + (uint64_t)(p->token[i] - '0');
        }
        next(p);
    } else if (!take_name(p, names->name[out->n_factors])) {
        return false;
    }
    out->n_factors++;
    return true;
}

static bool take_length(struct parser *p, struct native_param *out, struct length_names *names) {
    if (!take(p, "(")) return !p->status;
    names->line = p->line, names->token = p->token, names->line_start = p->line_start;
    do {
        if (!take_factor(p, out, names)) return false;
    } while (take(p, "*"));
    return expect(p, ")");
}

static bool take_annotations(struct parser *p, struct native_param *out, struct length_names *names,
                             bool *string, bool *data, bool *inside) {
    while (at_name(p)) {
        bool in = is(p, "in"), both = is(p, "inout");
        if (in || both || is(p, "out")) {
            if (out->direction) return fail(p, "in, out or inout twice");
            out->direction = (uint8_t)(in ? NATIVE_IN : both ? NATIVE_IN | NATIVE_OUT : NATIVE_OUT);
            next(p);
            if (!take_length(p, out, names)) return false;
        } else if (!((*string |= is(p, "string")) && take(p, "string")) &&
                   !((*data |= is(p, "data")) && take(p, "data")) &&
                   !((*inside |= is(p, "inside")) && take(p, "inside")) &&
                   !(is(p, "nullable") && (out->nullable = take(p, "nullable"))) &&
                   !(is(p, "destroy") && (out->destroy = take(p, "destroy"))) &&
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
        if (t->st || (t->scalar && t->scalar->host_size != t->scalar->guest_size))
            return fail(p,
                        "elements differ in size between the host and wasm32, so they cannot stay in place");
        out->kind = NATIVE_BUFFER;
        out->element = t->scalar ? t->scalar->host_size : 1;
        return true;
    }
    if (t->is_void) return fail(p, "a void pointer needs a length");
    out->kind = t->st ? NATIVE_STRUCT_PTR : NATIVE_CELL;
    return true;
}

static bool classify(struct parser *p, const struct ctype *t, struct native_param *out, bool string,
                     bool data, bool inside) {
    out->scalar = t->scalar, out->st = t->st, out->handle = t->handle, out->callback = t->callback;
    if ((string || data || inside) && !t->stars) return fail(p, "this annotation is for pointers");
    if (data) return out->kind = NATIVE_DATA, true;
    if (inside) return out->kind = NATIVE_INSIDE, true;
    if (string) {
        if (t->stars != 1 || !t->scalar || t->scalar->host_size != 1) return fail(p, "a string is a char *");
        return out->kind = NATIVE_STRING, true;
    }
    if (t->stars && t->callback) return fail(p, "a callback is named without a star");
    if (t->stars) return classify_pointer(p, t, out);
    if (t->is_void || t->handle) return fail(p, "a parameter cannot be of this type");
    out->kind = t->callback ? NATIVE_CALLBACK : t->st ? NATIVE_STRUCT : NATIVE_SCALAR;
    return true;
}

static bool resolve_lengths(struct parser *p, struct native_func *f, uint32_t i,
                            const struct length_names *names) {
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
        p->line = names->line, p->token = names->token, p->line_start = names->line_start;
        return fail(p, "a length is an integer parameter, or * and an integer that C reads");
    }
    return true;
}

/* ---- declarations ---- */

static bool take_param(struct parser *p, struct native_func *f, struct length_names *names, bool callback) {
    if (f->n_params == NATIVE_PARAMS) return fail(p, "too many parameters");
    struct native_param *out = &f->params[f->n_params];
    struct ctype t;
    bool string = false, data = false, inside = false;
    if (!take_type(p, &t) || !take_name(p, out->name) ||
        !take_annotations(p, out, names, &string, &data, &inside) ||
        !classify(p, &t, out, string, data, inside))
        return false;
    if (callback && out->kind != NATIVE_SCALAR && out->kind != NATIVE_DATA && out->kind != NATIVE_INSIDE &&
        out->kind != NATIVE_HANDLE)
        return fail(p, "a callback takes scalars, handles, data and pointers marked inside");
    if (!callback && out->kind == NATIVE_INSIDE) return fail(p, "inside is for the parameters of callbacks");
    if (f->variadic && out->kind == NATIVE_SCALAR &&
        (out->scalar->host_size < 4 || out->scalar->ffi == &ffi_type_float))
        return fail(p, "behind ... C passes this type as int or double");
    f->n_params++;
    return true;
}

/* A number of the guest's may stand for a pointer only where C hands it to a callback and has no other use
 * for it: without a callback that takes one, C would follow it. */
static bool data_is_for_a_callback(struct parser *p, const struct native_func *f) {
    bool data = false, taken = false;
    for (uint32_t i = 0; i < f->n_params; i++) {
        data |= f->params[i].kind == NATIVE_DATA;
        const struct native_func *callback =
            f->params[i].kind == NATIVE_CALLBACK ? f->params[i].callback : NULL;
        for (uint32_t k = 0; callback && k < callback->n_params; k++)
            taken |= callback->params[k].kind == NATIVE_DATA;
    }
    return !data || taken ||
           fail(p, "data is for a callback that takes data; elsewhere C would follow the number");
}

static bool take_params(struct parser *p, struct native_func *f, bool callback) {
    struct length_names *names = atoll_new(p->n->alloc, NATIVE_PARAMS + 1, sizeof *names);
    if (!names) return no_memory(p);
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
        if (ok && !is(p, ")")) ok = expect(p, ",");
    }
    ok = ok && (callback || data_is_for_a_callback(p, f));
    ok = ok && expect(p, ")");
    for (uint32_t i = 0; ok && i < f->n_params; i++) ok = resolve_lengths(p, f, i, &names[i]);
    atoll_free(p->n->alloc, names, (NATIVE_PARAMS + 1) * sizeof *names);
    return ok;
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
    if (!take_name(p, f->symbol_name) || !take_params(p, f, callback)) return false;
    memcpy(f->name, f->symbol_name, sizeof f->name);
    if (!f->variadic) f->n_fixed = f->n_params;
    for (;;) {
        if (take(p, "errno")) {
            f->gives_errno = true;
        } else if (take(p, "as")) {
            if (!take_name(p, f->name)) return false;
        } else {
            break;
        }
    }
    for (; last; last = last->next)
        if (!strcmp(last->name, f->name)) return fail(p, "this name is declared twice; use \"as\"");
    return expect(p, ";");
}

static uint32_t align_up(uint32_t at, uint32_t align) { return (at + align - 1) / align * align; }

static bool take_struct(struct parser *p) {
    struct native_struct *s = atoll_new(p->n->alloc, 1, sizeof *s);
    if (!s) return no_memory(p);
    s->next = p->n->structs;
    p->n->structs = s;
    uint32_t host_align = 1;
    s->guest_align = 1;
    if (!take_name(p, s->name) || !expect(p, "{")) return false;
    while (!is(p, "}")) {
        struct ctype t;
        if (s->n_fields == NATIVE_FIELDS) return fail(p, "too many fields");
        struct native_field *f = &s->fields[s->n_fields];
        if (!take_type(p, &t)) return false;
        if (!t.scalar || t.stars)
            return fail(p, "a field is a scalar; pointers cannot cross inside a struct");
        if (!take_name(p, f->name) || !expect(p, ";")) return false;
        f->scalar = t.scalar;
        f->host_at = align_up(s->host_size, t.scalar->host_size);
        f->guest_at = align_up(s->guest_size, t.scalar->guest_size);
        s->host_size = f->host_at + t.scalar->host_size;
        s->guest_size = f->guest_at + t.scalar->guest_size;
        if (t.scalar->host_size > host_align) host_align = t.scalar->host_size;
        if (t.scalar->guest_size > s->guest_align) s->guest_align = t.scalar->guest_size;
        s->elements[s->n_fields++] = t.scalar->ffi;
    }
    if (!s->n_fields) return fail(p, "a struct has fields");
    s->host_size = align_up(s->host_size, host_align);
    s->guest_size = align_up(s->guest_size, s->guest_align);
    s->ffi = (ffi_type){.type = FFI_TYPE_STRUCT, .elements = s->elements};
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
    if (take(p, "handle")) return take_handle(p);
    if (take(p, "callback")) return take_prototype(p, true);
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
