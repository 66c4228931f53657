/* cli/ucl/read.c: the structure: comments, objects and their keys, arrays, files as a whole. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/ucl/internal.h"

bool ucl_fail_at(struct ucl_reader *r, const char *at, const char *format, ...) {
    struct ucl_reading *all = r->all;
    if (all->status != ATOLL_OK) return false;
    va_list args;
    va_start(args, format);
    all->status = atoll_vfail(all->err, ATOLL_E_SYNTAX, ATOLL_NO_OFFSET, format, args);
    va_end(args);
    if (all->err) all->err->line = r->line, all->err->column = (uint32_t)(at - r->line_start) + 1;
    all->doc->failed = r->file;
    return false;
}

bool ucl_out_of_memory(struct ucl_reading *all) {
    if (all->status == ATOLL_OK)
        all->status = atoll_fail(all->err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return false;
}

/* ---- what lies between ---- */

void ucl_end_line(struct ucl_reader *r) {
    r->at++;
    r->line++;
    r->line_start = r->at;
}

bool ucl_begins_comment(const struct ucl_reader *r) {
    return ucl_next_is(r, '#') || (r->end - r->at >= 2 && r->at[0] == '/' && r->at[1] == '*');
}

/* At a quotation mark in a comment: to its other one on the line, because comments' marks between them are text. */
static void skip_quoted(struct ucl_reader *r) {
    for (const char *at = r->at + 1; at < r->end && *at != '\n'; at++)
        if (*at == '"' && at[-1] != '\\') {
            r->at = at;
            return;
        }
}

/* Comments may lie in comments. */
static bool skip_comment(struct ucl_reader *r) {
    unsigned depth = 0;
    const struct ucl_reader begin = *r;
    while (r->end - r->at >= 2) {
        bool begins = r->at[0] == '/' && r->at[1] == '*', ends = r->at[0] == '*' && r->at[1] == '/';
        if (*r->at == '"' && r->at[-1] != '\\') skip_quoted(r);
        if (*r->at == '\n')
            ucl_end_line(r);
        else
            r->at += begins || ends ? 2 : 1;
        depth += begins;
        if (ends && !--depth) return true;
    }
    *r = begin;
    return ucl_fail(r, "a comment has no end");
}

bool ucl_skip(struct ucl_reader *r, bool lines) {
    while (!ucl_at_end(r)) {
        if (ucl_is_blank(*r->at)) {
            r->at++;
        } else if (*r->at == '\n' && lines) {
            ucl_end_line(r);
        } else if (*r->at == '#') {
            const char *end = memchr(r->at, '\n', (size_t)(r->end - r->at));
            r->at = end ? end : r->end;
        } else if (!ucl_begins_comment(r)) {
            break;
        } else if (!skip_comment(r)) {
            return false;
        }
    }
    return true;
}

/* ---- values ---- */

static bool take_value(struct ucl_reader *r, struct ucl_value *value);

static bool enter(struct ucl_reader *r) {
    return ++r->all->depth <= UCL_DEPTH_MAX ||
           ucl_fail(r, "more than %d values in each other", UCL_DEPTH_MAX);
}

/* Separators, which may be several; *out_is: there was one. */
static bool take_separators(struct ucl_reader *r, bool *out_is) {
    while (ucl_next_is(r, ',') || ucl_next_is(r, ';')) {
        if (*r->at++ == ',') r->comma_line = r->line;
        *out_is = true;
        if (!ucl_skip(r, true)) return false;
    }
    return true;
}

/* Behind a value: ends of lines and comments separate, and behind braces nothing has to. */
static bool take_end(struct ucl_reader *r, const struct ucl_value *value, char closing,
                     const char *expected) {
    const char *blanks = r->at;
    while (blanks < r->end && ucl_is_blank(*blanks)) blanks++;
    if (!ucl_skip(r, true)) return false;
    bool ends =
        r->at > blanks || ucl_at_end(r) || (closing && ucl_next_is(r, closing)) || value->kind >= UCL_ARRAY;
    if (!take_separators(r, &ends)) return false;
    return ends || ucl_fail(r, "%s", expected);
}

static bool is_missing(struct ucl_reader *r, char closing, uint32_t line) {
    if (line == r->line) return ucl_fail(r, "\"%c\" is missing", closing);
    return ucl_fail(r, "\"%c\" is missing; what it ends begins in line %u", closing, line);
}

/* Behind the "[". */
static bool take_elements(struct ucl_reader *r, struct ucl_value *array) {
    const uint32_t line = r->line;
    for (;;) {
        if (!ucl_skip(r, true)) return false;
        if (ucl_take(r, ']')) return true;
        if (ucl_at_end(r)) return is_missing(r, ']', line);
        struct ucl_value *value = ucl_new_element(r, array);
        if (!value || !take_value(r, value) || !take_end(r, value, ']', "\",\" or \"]\" is expected"))
            return false;
    }
}

static bool take_array(struct ucl_reader *r, struct ucl_value *value) {
    if (!enter(r) || !ucl_become(r, value, UCL_ARRAY)) return false;
    r->at++;
    if (!take_elements(r, value)) return false;
    r->all->depth--;
    return true;
}

static bool take_object(struct ucl_reader *r, struct ucl_value *value) {
    if (!enter(r) || !ucl_become(r, value, UCL_OBJECT)) return false;
    r->at++;
    if (!ucl_read_members(r, value, '}')) return false;
    r->all->depth--;
    return true;
}

static bool set_text(struct ucl_value *value, const char *text) {
    value->kind = UCL_STRING;
    value->text = text;
    return text;
}

static bool take_word(struct ucl_reader *r, struct ucl_value *value) {
    const char *at = r->at, *text = ucl_expand(r, ucl_take_word(r));
    const char *wrong = text ? ucl_classify(value, text) : NULL;
    return text && (!wrong || ucl_fail_at(r, at, "%s", wrong));
}

static bool take_value(struct ucl_reader *r, struct ucl_value *value) {
    if (ucl_next_is(r, '{')) return take_object(r, value);
    if (ucl_next_is(r, '[')) return take_array(r, value);
    if (value->kind >= UCL_ARRAY) ucl_empty(r, value); /* a merge makes a scalar of it */
    if (ucl_next_is(r, '"')) return set_text(value, ucl_expand(r, ucl_take_quoted(r)));
    if (ucl_next_is(r, '\'')) return set_text(value, ucl_take_single_quoted(r));
    if (!ucl_begins_lines(r)) return take_word(r, value);
    value->line = r->line;
    value->is_lines = true;
    return set_text(value, ucl_expand(r, ucl_take_lines(r)));
}

/* ---- members ---- */

static const char *skip_blanks(const struct ucl_reader *r, const char *at) {
    while (at < r->end && ucl_is_blank(*at)) at++;
    return at;
}

/* Behind a name that begins at `at`, on this line; NULL: there is none. */
static const char *name_end(const struct ucl_reader *r, const char *at) {
    if (at == r->end || *at != '"') {
        size_t n = ucl_key_size(at, r->end);
        return n ? at + n : NULL;
    }
    for (at++; at < r->end && *at != '\n'; at++) {
        if (*at == '"') return at + 1;
        if (*at == '\\') at++;
    }
    return NULL;
}

/* Whether names follow, and then an object or an array: what stands here is not a value, but a name of a section. */
static bool names_follow(const struct ucl_reader *r) {
    const char *at = r->at, *end;
    while ((end = name_end(r, at))) {
        at = skip_blanks(r, end);
        bool equals = at < r->end && (*at == '=' || *at == ':');
        if (equals) at = skip_blanks(r, at + 1);
        if (at < r->end && (*at == '{' || *at == '[')) return true;
        if (equals || at == end) return false;
    }
    return false;
}

static bool begins_block(const struct ucl_reader *r) { return ucl_next_is(r, '{') || ucl_next_is(r, '['); }

/* The names of a section, and what it holds. */
static bool take_section(struct ucl_reader *r, struct ucl_value *value) {
    const uint32_t depth = r->all->depth;
    while (!begins_block(r)) {
        const char *name = ucl_take_key(r);
        if (!name || !enter(r) || !ucl_become(r, value, UCL_OBJECT)) return false;
        value = ucl_new_member(r, value, name);
        if (!value || !ucl_skip(r, false)) return false;
        if ((ucl_take(r, '=') || ucl_take(r, ':')) && !ucl_skip(r, false)) return false;
    }
    if (!take_value(r, value)) return false;
    r->all->depth = depth;
    return true;
}

/* At the end of a line behind a key: what begins a value there goes on with it, a word only behind ":". */
static bool continues(struct ucl_reader *r, char separator) {
    const char *begin = separator == '=' ? "{[\"'<" : "{:";
    struct ucl_reader ahead = *r;
    if (!ucl_next_is(r, '\n')) return true;
    if (!ucl_skip(&ahead, true)) return false;
    if (!ucl_at_end(&ahead) && (separator == ':' || strchr(begin, *ahead.at))) *r = ahead;
    return true;
}

static bool is_separated(const struct ucl_reader *r, const char *key_end) {
    return r->at > key_end && !ucl_at_end(r) && !strchr("\n;,})", *r->at);
}

/* "=", ":", or a blank; *out: which, 0 is a blank. key_end is where blanks may begin. */
static bool take_between(struct ucl_reader *r, const char *key_end, char *out) {
    if (!ucl_skip(r, false) || !continues(r, 0)) return false;
    *out = ucl_take(r, '=') ? '=' : ucl_take(r, ':') ? ':' : 0;
    if (*out && (!ucl_skip(r, false) || !continues(r, *out))) return false;
    if (*out && (ucl_next_is(r, '=') || ucl_next_is(r, ':')))
        return ucl_fail(r, "one \"=\" is enough (a value that begins with it stands in quotes)");
    if (*out || begins_block(r) || is_separated(r, key_end)) return true;
    bool comma = r->comma_line == r->line;
    return ucl_fail(r, "\"=\" is expected%s", comma ? " (a value with commas stands in quotes)" : "");
}

static bool take_member(struct ucl_reader *r, struct ucl_value *object, char closing) {
    const char *key = ucl_take_key(r), *key_end = r->at;
    char separator;
    if (!key) return false;
    struct ucl_reader at_key = *r;
    if (!take_between(r, key_end, &separator)) return false;
    struct ucl_value *value = ucl_new_member(&at_key, object, key);
    if (!value || !(!separator && names_follow(r) ? take_section(r, value) : take_value(r, value)))
        return false;
    return take_end(r, value, closing, "the end of the line, \";\" or \",\" is expected");
}

bool ucl_read_members(struct ucl_reader *r, struct ucl_value *object, char closing) {
    const uint32_t line = r->line;
    for (;;) {
        if (!ucl_skip(r, true)) return false;
        if (closing && ucl_take(r, closing)) return true;
        if (ucl_at_end(r)) return !closing || is_missing(r, closing, line);
        if (ucl_next_is(r, '}')) return ucl_fail(r, "a \"}\" that ends nothing");
        if (!(ucl_next_is(r, '.') ? ucl_take_macro(r, object) : take_member(r, object, closing)))
            return false;
    }
}

/* ---- files ---- */

/* The whole document. */
static bool take_list(struct ucl_reader *r, struct ucl_value *root) {
    if (r->file->from || root->first) return ucl_fail(r, "a list cannot be included");
    root->kind = UCL_NULL;
    if (!take_array(r, root) || !ucl_skip(r, true)) return false;
    return ucl_at_end(r) || ucl_fail(r, "something stands behind the list");
}

/* Braces around the whole may be there; libucl lets more stand behind them. */
bool ucl_read_content(struct ucl_reader *r, struct ucl_value *object) {
    if (!ucl_skip(r, true)) return false;
    if (ucl_next_is(r, '[')) return take_list(r, object);
    if (ucl_take(r, '{')) {
        bool ends = true;
        if (!ucl_read_members(r, object, '}') || !ucl_skip(r, true) || !take_separators(r, &ends))
            return false;
    }
    return ucl_read_members(r, object, 0);
}

static void begin(struct ucl_reading *all, const struct ucl_options *options, struct ucl_document *out,
                  struct atoll_error *err) {
    static const struct ucl_options none;
    *out = (struct ucl_document){0};
    bc_arena_init(&out->arena, options && options->alloc ? options->alloc : &atoll_default_alloc);
    *all = (struct ucl_reading){.doc = out, .options = options ? options : &none, .err = err};
}

static struct ucl_file *new_file(struct ucl_reading *all, const char *name) {
    struct ucl_file *file = bc_arena_new(&all->doc->arena, 1, sizeof *file);
    if (!file) return ucl_out_of_memory(all), NULL;
    file->name = name;
    all->doc->failed = file;
    return file;
}

static enum atoll_status read_document(struct ucl_reading *all, struct ucl_bytes *bytes,
                                       const struct ucl_file *file) {
    struct ucl_value *root = bc_arena_new(&all->doc->arena, 1, sizeof *root);
    if (root) {
        *root = (struct ucl_value){.kind = UCL_OBJECT, .id = ++all->last_id, .line = 1, .file = file};
        all->doc->root = root;
        ucl_read_bytes(all, NULL, bytes, file, root);
    } else {
        ucl_out_of_memory(all);
    }
    ucl_forget_members(all);
    if (all->status == ATOLL_OK) all->doc->failed = NULL;
    return all->status;
}

enum atoll_status ucl_read(const char *name, const char *bytes, size_t n, const struct ucl_options *options,
                           struct ucl_document *out, struct atoll_error *err) {
    struct ucl_reading all;
    begin(&all, options, out, err);
    struct ucl_file *file = new_file(&all, name);
    struct ucl_bytes content = {.bytes = (char *)bytes, .n = n};
    return file ? read_document(&all, &content, file) : all.status;
}

enum atoll_status ucl_read_file(const char *path, const struct ucl_options *options, struct ucl_document *out,
                                struct atoll_error *err) {
    struct ucl_reading all;
    struct ucl_bytes bytes;
    begin(&all, options, out, err);
    struct ucl_file *file = new_file(&all, path);
    if (!file) return all.status;
    enum atoll_status status =
        options->files->read(options->files->context, path, UCL_BYTES_MAX, &bytes, err);
    if (status != ATOLL_OK) return status;
    status = read_document(&all, &bytes, file);
    free(bytes.bytes);
    free(bytes.path);
    return status;
}

void ucl_document_free(struct ucl_document *document) {
    bc_arena_fini(&document->arena);
    *document = (struct ucl_document){0};
}
