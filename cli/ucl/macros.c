/* cli/ucl/macros.c: .NAME(parameters) "value", and the files that macros read. Parameters are an object; those that a
 * macro does not know say nothing, as in libucl. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "cli/ucl/internal.h"

struct macro {
    struct ucl_value *object, *args;
    const char *value; /* NULL: it has none */
};

/* ---- parameters: false where one is not what it has to be ---- */

static bool get_bool(struct ucl_reader *r, const struct macro *m, const char *name, bool *out) {
    const struct ucl_value *value = ucl_find(m->args, name);
    if (!value) return true;
    if (value->kind != UCL_BOOL) return ucl_fail(r, "%s is true or false", name);
    *out = value->is_true;
    return true;
}

static bool get_text(struct ucl_reader *r, const struct macro *m, const char *name, const char **out) {
    const struct ucl_value *value = ucl_find(m->args, name);
    if (!value) return true;
    if (!value->text) return ucl_fail(r, "%s is text", name);
    *out = value->text;
    return true;
}

/* `words` end with NULL. */
static bool get_word(struct ucl_reader *r, const struct macro *m, const char *name, const char *const *words,
                     unsigned *out) {
    const char *text = NULL;
    if (!get_text(r, m, name, &text)) return false;
    for (unsigned i = 0; text && words[i]; i++) {
        if (strcasecmp(text, words[i])) continue;
        *out = i;
        return true;
    }
    return !text || ucl_fail(r, "\"%s\" is no %s", text, name);
}

static bool is_priority(struct ucl_reader *r, int64_t number) {
    return (number >= 0 && number <= UCL_PRIORITY_MAX) ||
           ucl_fail(r, "a priority is 0 to %d", UCL_PRIORITY_MAX);
}

static bool get_priority(struct ucl_reader *r, const struct macro *m, uint8_t *out) {
    const struct ucl_value *value = ucl_find(m->args, "priority");
    if (!value) return true;
    if (!is_priority(r, value->kind == UCL_INT ? value->integer : -1)) return false;
    *out = (uint8_t)value->integer;
    return true;
}

static bool is_file_name(struct ucl_reader *r, const char *name) {
    if (!name || !*name) return ucl_fail(r, "the name of a file is expected");
    return strlen(name) < PATH_MAX || ucl_fail(r, "the name of a file is too long");
}

/* ---- .include ---- */

struct include {
    struct ucl_reader *r; /* of the file that includes */
    struct ucl_reader settings;
    struct ucl_value *object;
    const char *key;
    unsigned is_array;
    bool may_lack, glob, sign, prefix;
    unsigned n_found;
};

bool ucl_read_bytes(struct ucl_reading *all, const struct ucl_reader *settings, struct ucl_bytes *bytes,
                    const struct ucl_file *file, struct ucl_value *object) {
    struct ucl_reader r = {
        .all = all, .at = bytes->bytes, .line_start = bytes->bytes, .line = 1, .file = file};
    r.end = bytes->n ? bytes->bytes + bytes->n : bytes->bytes;
    if (settings) r.priority = settings->priority, r.duplicates = settings->duplicates;
    all->n_bytes += bytes->n;
    if (all->n_bytes > UCL_BYTES_MAX) {
        all->doc->failed = file;
        all->status = atoll_fail(all->err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %zu bytes%s",
                                 UCL_BYTES_MAX, file->from ? ", with what else is read" : "");
        return false;
    }
    const char *slash = bytes->path ? strrchr(bytes->path, '/') : NULL;
    char *path = bytes->path ? ucl_new_text(all, strlen(bytes->path)) : NULL;
    char *folder = slash ? ucl_new_text(all, (size_t)(slash - bytes->path) + 1) : NULL;
    if ((bytes->path && !path) || (slash && !folder)) return false;
    if (path) strcpy(path, bytes->path);
    if (folder) memcpy(folder, bytes->path, (size_t)(slash - bytes->path) + (slash == bytes->path));
    r.path = path, r.folder = folder;
    return ucl_read_content(&r, object);
}

/* What was read, or a failure in the file that could not be; *out_lacks: there is no such file, which is no failure
 * where `may_lack`. */
static bool get_bytes(struct ucl_reader *r, const char *name, bool may_lack, struct ucl_bytes *out,
                      struct ucl_file **out_file, bool *out_lacks) {
    const struct ucl_files *files = r->all->options->files;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    char *kept = ucl_new_text(r->all, strlen(name));
    struct ucl_file *file = bc_arena_new(&r->all->doc->arena, 1, sizeof *file);
    *out_lacks = false;
    if (!kept || !file) return ucl_out_of_memory(r->all);
    *file = (struct ucl_file){strcpy(kept, name), r->file, r->line};
    *out_file = file;
    if (++r->all->n_files > UCL_FILES_MAX) return ucl_fail(r, "more than %d files", UCL_FILES_MAX);
    enum atoll_status status = files->read(files->context, name, UCL_BYTES_MAX, out, &err);
    if (status == ATOLL_OK) return true;
    *out_lacks = status == ATOLL_E_IO && (err.system_errno == ENOENT || err.system_errno == ENOTDIR);
    if (*out_lacks && may_lack) return false;
    r->all->status = status;
    r->all->doc->failed = file;
    if (r->all->err) *r->all->err = err;
    return false;
}

/* The name of a file without its folder, and without what its kind is called. */
static const char *name_of(struct ucl_reader *r, const char *path) {
    static const char *const kinds[] = {".conf", ".ucl", ".vm"};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    size_t n = strlen(name);
    for (size_t i = 0; dot && i < 3; i++)
        if (strcmp(dot, kinds[i]) == 0) n = (size_t)(dot - name);
    char *text = ucl_new_text(r->all, n);
    if (text) memcpy(text, name, n);
    return text;
}

/* Where the content goes: the object, or with a key an object below it. */
static struct ucl_value *place_for(struct include *in, const char *path) {
    struct ucl_reader *r = in->r, with = *r;
    const char *key = in->key ? in->key : in->prefix ? name_of(r, path) : NULL;
    with.priority = in->settings.priority;
    if (!key) return in->prefix ? NULL : in->object;
    struct ucl_value *value = ucl_member(r->all, in->object, key);
    bool is_new = !value;
    if (is_new && !(value = ucl_new_member(&with, in->object, key))) return NULL;
    if (is_new) value->kind = in->is_array ? UCL_ARRAY : UCL_OBJECT;
    if (!in->is_array && value->kind != UCL_OBJECT) return ucl_fail(r, "\"%s\" is no object", key), NULL;
    if (!in->is_array) return value;
    if (value->kind != UCL_ARRAY && !ucl_to_array(r, value)) return NULL;
    value = ucl_new_element(&with, value);
    if (value) value->kind = UCL_OBJECT;
    return value;
}

static bool include_bytes(struct include *in, struct ucl_bytes *bytes, const struct ucl_file *file) {
    struct ucl_reader *r = in->r;
    if (r->path && strcmp(bytes->path, r->path) == 0) return ucl_fail(r, "a file that includes itself");
    if (r->all->n_nested == UCL_NESTED_MAX - 1)
        return ucl_fail(r, "more than %d files, one in another", UCL_NESTED_MAX);
    struct ucl_value *place = place_for(in, bytes->path);
    if (!place) return false;
    r->all->n_nested++;
    bool whole = ucl_read_bytes(r->all, &in->settings, bytes, file, place);
    r->all->n_nested--;
    return whole;
}

/* false: the document has failed. */
static bool include_file(struct include *in, const char *name, bool may_lack) {
    struct ucl_bytes bytes;
    struct ucl_file *file;
    bool lacks;
    if (!get_bytes(in->r, name, may_lack, &bytes, &file, &lacks)) return lacks && may_lack;
    in->n_found++;
    bool whole = include_bytes(in, &bytes, file);
    free(bytes.bytes);
    free(bytes.path);
    return whole;
}

static bool include_each(void *include, const char *path) { return include_file(include, path, false); }

/* One name, or what fits it. */
static bool include_name(struct include *in, const char *name, bool may_lack) {
    struct ucl_reading *all = in->r->all;
    const struct ucl_files *files = all->options->files;
    if (!in->glob || !strpbrk(name, "*?[")) return include_file(in, name, may_lack);
    if (++all->n_files > UCL_FILES_MAX) return ucl_fail(in->r, "more than %d files", UCL_FILES_MAX);
    enum atoll_status status =
        files->match(files->context, name, include_each, in, all->status ? NULL : all->err);
    if (status != ATOLL_OK && all->status == ATOLL_OK) all->status = status, all->doc->failed = in->r->file;
    return all->status == ATOLL_OK;
}

/* In these folders: the first that has it; all, where it is a pattern. */
static bool include_in(struct include *in, const struct ucl_value *folders, const char *name) {
    for (const struct ucl_value *folder = folders->first; folder && (!in->n_found || in->glob);
         folder = folder->next) {
        if (!folder->text || strlen(folder->text) >= PATH_MAX)
            return ucl_fail(in->r, "path is a list of folders");
        char *path = ucl_new_text(in->r->all, strlen(folder->text) + 1 + strlen(name));
        if (!path) return false;
        sprintf(path, "%s/%s", folder->text, name);
        if (!include_name(in, path, true)) return false;
    }
    return true;
}

static bool get_include(struct ucl_reader *r, const struct macro *m, struct include *in) {
    static const char *const targets[] = {"object", "array", NULL};
    static const char *const policies[] = {"append", "merge", "rewrite", "error", NULL};
    unsigned duplicates = UCL_APPEND;
    bool url = false; /* says nothing: there are none */
    if (!get_bool(r, m, "try", &in->may_lack) || !get_bool(r, m, "sign", &in->sign) ||
        !get_bool(r, m, "glob", &in->glob) || !get_bool(r, m, "url", &url) ||
        !get_bool(r, m, "prefix", &in->prefix) || !get_text(r, m, "key", &in->key) ||
        !get_word(r, m, "target", targets, &in->is_array) ||
        !get_word(r, m, "duplicate", policies, &duplicates) || !get_priority(r, m, &in->settings.priority))
        return false;
    in->settings.duplicates = (enum ucl_duplicates)duplicates;
    return true;
}

static bool include(struct ucl_reader *r, const struct macro *m, struct include *in) {
    const struct ucl_value *folders = ucl_find(m->args, "path");
    in->r = r, in->object = m->object;
    if (!is_file_name(r, m->value)) return false;
    if (!get_include(r, m, in)) return false;
    if (in->sign) return ucl_fail(r, "signatures are not checked here");
    if (strstr(m->value, "://")) return ucl_fail(r, "only files are included, no URLs");
    if (folders && folders->kind != UCL_ARRAY) return ucl_fail(r, "path is a list of folders");
    if (!(folders ? include_in(in, folders, m->value) : include_name(in, m->value, in->may_lack)))
        return false;
    return in->n_found || in->may_lack || ucl_fail(r, "no file is found for \"%s\"", m->value);
}

static bool run_include(struct ucl_reader *r, const struct macro *m) {
    return include(r, m, &(struct include){0});
}
static bool run_includes(struct ucl_reader *r, const struct macro *m) {
    return include(r, m, &(struct include){.sign = true});
}
static bool run_try_include(struct ucl_reader *r, const struct macro *m) {
    return include(r, m, &(struct include){.may_lack = true});
}

/* ---- .load ---- */

struct load {
    const char *key;
    bool may_lack, lines, escape, trim;
    unsigned is_int;
    uint8_t priority;
};

static bool is_space(char c) { return c == '\n' || ucl_is_blank(c); }

/* As it would stand in a string. */
static const char *escape_text(struct ucl_reader *r, const char *text, size_t n) {
    static const char from[] = "\b\f\n\r\t\"\\", to[] = "bfnrt\"\\";
    char *escaped = ucl_new_text(r->all, 6 * n), *out = escaped;
    for (size_t i = 0; escaped && i < n; i++) {
        const char *found = strchr(from, text[i]);
        if (found)
            *out++ = '\\', *out++ = to[found - from];
        else if (text[i] == '\v')
            out = stpcpy(out, "\\u000B");
        else
            *out++ = text[i];
    }
    return escaped;
}

static const char *loaded_text(struct ucl_reader *r, const struct load *load, const struct ucl_bytes *bytes) {
    const char *text = bytes->bytes;
    size_t n = bytes->n;
    if (n && memchr(text, 0, n)) return ucl_fail(r, "a zero byte in the file"), NULL;
    for (; load->trim && n && is_space(*text); n--) text++;
    while (load->trim && n && is_space(text[n - 1])) n--;
    if (load->escape) return escape_text(r, text, n);
    char *kept = ucl_new_text(r->all, n);
    if (kept && n) memcpy(kept, text, n);
    return kept;
}

/* The number that the text begins with. */
static bool set_integer(struct ucl_reader *r, struct ucl_value *value) {
    char *end;
    value->kind = UCL_INT;
    value->integer = strtoll(value->text, &end, 10);
    if (end == value->text) return ucl_fail(r, "no number in the file");
    char *digits = ucl_new_text(r->all, 24);
    if (digits) snprintf(digits, 24, "%lld", (long long)value->integer);
    value->text = digits;
    return digits;
}

static bool load_bytes(struct ucl_reader *r, const struct macro *m, const struct load *load,
                       const struct ucl_bytes *bytes, const struct ucl_file *file) {
    r->all->n_bytes += bytes->n;
    if (r->all->n_bytes > UCL_BYTES_MAX)
        return ucl_fail(r, "more than %zu bytes in all files", UCL_BYTES_MAX);
    if (ucl_member(r->all, m->object, load->key)) return ucl_fail(r, "\"%s\" is there already", load->key);
    struct ucl_value *value = ucl_new_member(r, m->object, load->key);
    if (!value || !(value->text = loaded_text(r, load, bytes))) return false;
    value->priority = load->priority;
    value->kind = UCL_STRING;
    if (load->is_int) return set_integer(r, value);
    value->is_lines = load->lines;
    if (load->lines) value->file = file, value->line = 0;
    return true;
}

static bool run_load(struct ucl_reader *r, const struct macro *m) {
    static const char *const targets[] = {"string", "int", NULL};
    struct load load = {0};
    struct ucl_bytes bytes;
    struct ucl_file *file;
    bool lacks;
    if (!is_file_name(r, m->value)) return false;
    if (!get_bool(r, m, "try", &load.may_lack) || !get_bool(r, m, "multiline", &load.lines) ||
        !get_bool(r, m, "escape", &load.escape) || !get_bool(r, m, "trim", &load.trim) ||
        !get_text(r, m, "key", &load.key) || !get_word(r, m, "target", targets, &load.is_int) ||
        !get_priority(r, m, &load.priority))
        return false;
    if (!load.key || !*load.key) return ucl_fail(r, ".load has no key");
    if (!get_bytes(r, m->value, load.may_lack, &bytes, &file, &lacks)) return lacks && load.may_lack;
    bool whole = load_bytes(r, m, &load, &bytes, file);
    free(bytes.bytes);
    free(bytes.path);
    return whole;
}

/* ---- .inherit, .priority ---- */

static bool run_inherit(struct ucl_reader *r, const struct macro *m) {
    const struct ucl_value *root = r->all->doc->root;
    const struct ucl_value *parent = m->value ? ucl_member(r->all, root, m->value) : NULL;
    bool replace = false;
    if (!parent || parent->kind != UCL_OBJECT)
        return ucl_fail(r, "no object \"%s\" stands above, outside of others", m->value ? m->value : "");
    return get_bool(r, m, "replace", &replace) && ucl_inherit(r, m->object, parent, replace);
}

/* For the rest of this file. */
static bool run_priority(struct ucl_reader *r, const struct macro *m) {
    char *end;
    long number = m->value ? strtol(m->value, &end, 10) : -1;
    if (!m->value)
        return ucl_find(m->args, "priority") ? get_priority(r, m, &r->priority) : is_priority(r, -1);
    if (!is_priority(r, *end ? -1 : number)) return false;
    r->priority = (uint8_t)number;
    return true;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    bool (*run)(struct ucl_reader *r, const struct macro *m);
} macros[] = {{"include", run_include}, {"try_include", run_try_include}, {"includes", run_includes},
              {"load", run_load},       {"inherit", run_inherit},         {"priority", run_priority}};
enum { N_MACROS = sizeof macros / sizeof *macros };

/* Behind the ".". */
static size_t find_macro(const char *at, size_t n) {
    size_t i = 0;
    while (i < N_MACROS && (strlen(macros[i].name) != n || memcmp(macros[i].name, at, n))) i++;
    return i;
}

static bool take_arguments(struct ucl_reader *r, struct macro *m) {
    const struct ucl_reader was = *r;
    m->args = ucl_new_value(r);
    if (!m->args) return false;
    m->args->kind = UCL_OBJECT;
    if (!ucl_take(r, '(')) return true;
    if (++r->all->depth > UCL_DEPTH_MAX)
        return ucl_fail(r, "more than %d values in each other", UCL_DEPTH_MAX);
    r->in_arguments = true, r->priority = 0, r->duplicates = UCL_APPEND;
    if (!ucl_read_members(r, m->args, ')')) return false;
    r->in_arguments = was.in_arguments, r->priority = was.priority, r->duplicates = was.duplicates;
    r->all->depth--;
    return ucl_skip(r, false);
}

/* { text } */
static const char *take_body(struct ucl_reader *r) {
    const struct ucl_reader begin = *r;
    const char *end = memchr(r->at, '}', (size_t)(r->end - r->at));
    if (!end) return ucl_fail(r, "\"}\" is missing"), NULL;
    for (r->at++; r->at < end && is_space(*r->at);)
        if (*r->at == '\n')
            ucl_end_line(r);
        else
            r->at++;
    const char *start = r->at, *last = end;
    while (last > start && is_space(last[-1])) last--;
    if (memchr(start, 0, (size_t)(last - start))) return *r = begin, ucl_fail(r, "a zero byte"), NULL;
    char *text = ucl_new_text(r->all, (size_t)(last - start));
    if (text) memcpy(text, start, (size_t)(last - start));
    while (r->at < end)
        if (*r->at == '\n')
            ucl_end_line(r);
        else
            r->at++;
    r->at = end + 1;
    return text;
}

static bool take_macro_value(struct ucl_reader *r, struct macro *m) {
    if (ucl_at_end(r) || (*r->at && strchr("\n;,})", *r->at))) return true;
    m->value = ucl_next_is(r, '"')    ? ucl_expand(r, ucl_take_quoted(r))
               : ucl_next_is(r, '\'') ? ucl_take_single_quoted(r)
               : ucl_next_is(r, '{')  ? ucl_expand(r, take_body(r))
                                      : ucl_expand(r, ucl_take_word(r));
    return m->value;
}

bool ucl_take_macro(struct ucl_reader *r, struct ucl_value *object) {
    struct macro m = {.object = object};
    const struct ucl_reader begin = *r;
    size_t n = ++r->at < r->end ? ucl_key_size(r->at, r->end) : 0, i = find_macro(r->at, n);
    if (!r->all->options->files) return ucl_fail_at(r, begin.at, "no macros are taken here");
    if (i == N_MACROS)
        return ucl_fail_at(
            r, begin.at,
            "there is no macro \".%.*s\" (but .include, .try_include, .load, .inherit and .priority)",
            (int)(n < 40 ? n : 40), r->at);
    r->at += n;
    if (!ucl_skip(r, false) || !take_arguments(r, &m) || !take_macro_value(r, &m)) return false;
    struct ucl_reader at_macro = *r;
    at_macro.at = begin.at, at_macro.line = begin.line, at_macro.line_start = begin.line_start;
    if (!macros[i].run(&at_macro, &m)) return false;
    r->priority = at_macro.priority;
    if (!ucl_skip(r, false)) return false;
    while (ucl_next_is(r, ';') || ucl_next_is(r, ',')) r->at++;
    return true;
}
