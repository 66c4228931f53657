/* cli/vm_file.c: what a machine's file says, as settings of flags; see vm_file.h. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "atoll/alloc.h"
#include "cli/vm_file.h"

struct mapping {
    struct cli_vm_file *file;
    const struct cli_flag *flags;
    struct atoll_error *err;
    enum atoll_status status;
};

static bool fail(struct mapping *m, const struct ucl_value *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(struct mapping *m, const struct ucl_value *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    m->status = atoll_vfail(m->err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, format, args);
    va_end(args);
    if (m->err) m->err->line = at->line, m->err->column = 0;
    m->file->failed = at->file;
    return false;
}

static bool out_of_memory(struct mapping *m) {
    m->status = atoll_fail(m->err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return false;
}

static bool add(struct mapping *m, const struct cli_flag *flag, const char *value,
                const struct ucl_value *from) {
    struct cli_vm_file *file = m->file;
    if (atoll_grow(file->document.arena.alloc, (void **)&file->settings, &file->cap_settings,
                   file->n_settings + 1, sizeof *file->settings))
        return out_of_memory(m);
    file->settings[file->n_settings++] = (struct cli_vm_setting){flag, value, from};
    return true;
}

/* ---- sections: the parts of a flag's text ---- */

/* Where a flag's text has parts: FIRST, then the others with what stands in front of each. */
static const struct section {
    const char *flag;
    const char *first;   /* the part that is told by its value alone */
    const char *then;    /* in front of the second part */
    const char *others;  /* in front of the others */
    const char *name;    /* the part that the name of a section is; NULL: nothing but a name */
    const char *second;  /* a part that is told by its value alone, too, behind "::"; or NULL */
    const char *on_off;  /* a part that is "on" where others are only named; or NULL */
    bool first_may_lack; /* another part says the kind */
} sections[] = {
    {.flag = "disk", .first = "file", .then = ":", .others = ":"},
    {.flag = "net",
     .first = "kind",
     .then = ":",
     .others = ",",
     .name = "kind",
     .on_off = "ipv6",
     .first_may_lack = true},
    {.flag = "dir", .first = "host", .then = ":", .others = ":", .name = "guest", .second = "guest"},
    {.flag = "memory", .first = "size", .then = ",", .others = ","},
    {.flag = "vsock", .first = "path", .then = ",", .others = ","},
    {.flag = "gdb", .first = "port", .then = ",", .others = ","}};
enum { N_SECTIONS = sizeof sections / sizeof *sections };

/* The text of one section, as it is put together. */
struct text {
    const struct section *section;
    FILE *out;
    unsigned n_parts;
};

static bool put_option(struct mapping *m, struct text *text, const struct ucl_value *part,
                       const struct ucl_value *value) {
    const struct section *s = text->section;
    bool is_bool = value->kind == UCL_BOOL, on_off = s->on_off && strcmp(part->key, s->on_off) == 0;
    if (value->kind >= UCL_ARRAY)
        return fail(m, value, "%s: \"%s\" is a value, or a list of some", s->flag, part->key);
    if (value->is_lines) return fail(m, value, "%s: \"%s\" is one line", s->flag, part->key);
    if (value->kind == UCL_NULL || (is_bool && !value->is_true)) return true;
    if (text->n_parts) fputs(text->n_parts == 1 ? s->then : s->others, text->out);
    text->n_parts++;
    fprintf(text->out, "%s%s%s", part->key, is_bool && !on_off ? "" : "=",
            is_bool ? (on_off ? "on" : "") : value->text);
    return true;
}

/* A part may be there several times, as elements of a list or by itself. */
static bool put_options(struct mapping *m, struct text *text, const struct ucl_value *part) {
    for (const struct ucl_value *value = part; value; value = value->again) {
        if (value->kind != UCL_ARRAY && !put_option(m, text, part, value)) return false;
        for (const struct ucl_value *one = value->kind == UCL_ARRAY ? value->first : NULL; one;
             one = one->next)
            if (!put_option(m, text, part, one)) return false;
    }
    return true;
}

static bool is_word(const char *word, const char *other) { return word && other && strcmp(word, other) == 0; }

/* The value of a part that is told by its value alone: the section's name, or a member. out: NULL, it has none. */
static bool get_plain(struct mapping *m, const struct section *s, const struct ucl_value *object,
                      const char *name, const char *part, const char **out) {
    const struct ucl_value *value = part ? ucl_find(object, part) : NULL;
    *out = is_word(s->name, part) ? name : NULL;
    if (!value || value->kind == UCL_NULL) return true;
    if (!value->text || value->again || value->is_lines)
        return fail(m, value, "%s: \"%s\" is one value", s->flag, part);
    *out = value->text;
    return true;
}

static bool put_parts(struct mapping *m, struct text *text, const struct ucl_value *object,
                      const char *name) {
    const struct section *s = text->section;
    const char *first, *second;
    if (!get_plain(m, s, object, name, s->first, &first) ||
        !get_plain(m, s, object, name, s->second, &second))
        return false;
    if (!first && !s->first_may_lack) return fail(m, object, "%s: its \"%s\" is missing", s->flag, s->first);
    text->n_parts = first != NULL;
    if (first) fputs(first, text->out);
    if (second) fprintf(text->out, "::%s", second);
    for (const struct ucl_value *part = object->first; part; part = part->next)
        if (!is_word(part->key, s->first) && !is_word(part->key, s->second) && !put_options(m, text, part))
            return false;
    return text->n_parts || fail(m, object, "%s: an empty section", s->flag);
}

static bool map_section(struct mapping *m, const struct cli_flag *flag, const struct section *s,
                        const struct ucl_value *object, const char *name) {
    char *bytes = NULL;
    size_t n;
    struct text text = {s, open_memstream(&bytes, &n), 0};
    bool whole = text.out && put_parts(m, &text, object, name);
    if (text.out && fclose(text.out)) whole = false;
    char *kept = whole ? bc_arena_new(&m->file->document.arena, n + 1, 1) : NULL;
    if (kept) memcpy(kept, bytes, n);
    free(bytes);
    if (kept) return add(m, flag, kept, object);
    return m->status == ATOLL_OK ? out_of_memory(m) : false;
}

/* Whether it holds sections with names. */
static bool has_names(const struct ucl_value *object) {
    for (const struct ucl_value *member = object->first; member; member = member->next)
        if (member->kind != UCL_OBJECT) return false;
    return object->first;
}

/* env { NAME = VALUE }: null is a variable of atoll's own. */
static bool map_variables(struct mapping *m, const struct cli_flag *flag, const struct ucl_value *object) {
    for (const struct ucl_value *variable = object->first; variable; variable = variable->next) {
        size_t n_key = strlen(variable->key), n_value = variable->text ? strlen(variable->text) : 0;
        if (variable->kind >= UCL_ARRAY || variable->again)
            return fail(m, variable, "%s: \"%s\" is one value", flag->name, variable->key);
        char *text = bc_arena_new(&m->file->document.arena, n_key + 1 + n_value + 1, 1);
        if (!text) return out_of_memory(m);
        memcpy(text, variable->key, n_key);
        if (variable->kind != UCL_NULL) text[n_key] = '=', memcpy(text + n_key + 1, variable->text, n_value);
        if (!add(m, flag, text, variable)) return false;
    }
    return true;
}

static bool map_object(struct mapping *m, const struct cli_flag *flag, const struct ucl_value *object) {
    const struct section *s = sections;
    if (strcmp(flag->name, "env") == 0) return map_variables(m, flag, object);
    while (s < sections + N_SECTIONS && strcmp(s->flag, flag->name)) s++;
    if (s == sections + N_SECTIONS) return fail(m, object, "%s is a value, no section", flag->name);
    if (!has_names(object)) return map_section(m, flag, s, object, NULL);
    for (const struct ucl_value *named = object->first; named; named = named->next)
        for (const struct ucl_value *one = named; one; one = one->again) {
            if (one->kind != UCL_OBJECT) return fail(m, one, "%s: a section is expected", flag->name);
            if (!map_section(m, flag, s, one, named->key)) return false;
        }
    return true;
}

/* ---- values ---- */

/* A flag that takes none is set or not; in quotes, too. */
static bool map_switch(struct mapping *m, const struct cli_flag *flag, const struct ucl_value *value) {
    struct ucl_value word = *value;
    if (value->kind == UCL_STRING) ucl_classify(&word, value->text);
    if (word.kind != UCL_BOOL)
        return fail(m, value, "%s is true or false%s%s%s", flag->name, value->text ? ", not \"" : "",
                    value->text ? value->text : "", value->text ? "\"" : "");
    return !word.is_true || add(m, flag, NULL, value);
}

static bool map_one(struct mapping *m, const struct cli_flag *flag, const struct ucl_value *value) {
    if (value->kind == UCL_NULL) return true; /* as if it were not there */
    if (!flag->value) return map_switch(m, flag, value);
    return value->kind == UCL_OBJECT ? map_object(m, flag, value) : add(m, flag, value->text, value);
}

static bool map_elements(struct mapping *m, const struct cli_flag *flag, const struct ucl_value *array) {
    for (const struct ucl_value *element = array->first; element; element = element->next) {
        if (element->kind == UCL_ARRAY) return fail(m, element, "%s: a list in a list", flag->name);
        if (!map_one(m, flag, element)) return false;
    }
    return true;
}

/* ---- keys ---- */

static bool map_members(struct mapping *m, const struct ucl_value *object, bool in_group);

/* Sections that only say what belongs together. */
static bool is_group(const char *key) { return strcmp(key, "machine") == 0 || strcmp(key, "guest") == 0; }

static bool no_such_flag(struct mapping *m, const struct ucl_value *member) {
    enum { FLAGS_MAX = 64 };
    const char *names[FLAGS_MAX + 3] = {"machine", "guest"};
    size_t n = 2;
    for (const struct cli_flag *flag = m->flags; flag->name && n < FLAGS_MAX + 2; flag++)
        names[n++] = flag->name;
    const char *near = cli_nearest(member->key, names);
    return fail(m, member, "there is no flag \"%s\"%s%s%s", member->key, near ? "; perhaps " : "",
                near ? near : "", member->after_comma ? " (a value with commas stands in quotes)" : "");
}

static bool map_member(struct mapping *m, const struct ucl_value *member, bool in_group) {
    const struct cli_flag *flag = m->flags;
    while (flag->name && strcmp(flag->name, member->key)) flag++;
    bool group = !flag->name && !in_group && is_group(member->key);
    if (!flag->name && !group) return no_such_flag(m, member);
    for (const struct ucl_value *value = member; value; value = value->again) {
        if (group && value->kind != UCL_OBJECT)
            return fail(m, value, "%s is a section: %s { }", member->key, member->key);
        if (group                      ? !map_members(m, value, true)
            : value->kind == UCL_ARRAY ? !map_elements(m, flag, value)
                                       : !map_one(m, flag, value))
            return false;
    }
    return true;
}

static bool map_members(struct mapping *m, const struct ucl_value *object, bool in_group) {
    for (const struct ucl_value *member = object->first; member; member = member->next)
        if (!map_member(m, member, in_group)) return false;
    return true;
}

static enum atoll_status map(struct cli_vm_file *file, const struct cli_flag *flags,
                             struct atoll_error *err) {
    struct mapping m = {file, flags, err, ATOLL_OK};
    const struct ucl_value *root = file->document.root;
    if (root->kind != UCL_OBJECT)
        fail(&m, root, "a machine is flags, no list");
    else
        map_members(&m, root, false);
    return m.status;
}

enum atoll_status cli_vm_file_read(const char *path, const struct ucl_options *options,
                                   const struct cli_flag *flags, struct cli_vm_file *out,
                                   struct atoll_error *err) {
    *out = (struct cli_vm_file){0};
    enum atoll_status status = ucl_read_file(path, options, &out->document, err);
    out->failed = out->document.failed;
    return status == ATOLL_OK ? map(out, flags, err) : status;
}

enum atoll_status cli_vm_file_parse(const char *name, const char *bytes, size_t n,
                                    const struct ucl_options *options, const struct cli_flag *flags,
                                    struct cli_vm_file *out, struct atoll_error *err) {
    *out = (struct cli_vm_file){0};
    enum atoll_status status = ucl_read(name, bytes, n, options, &out->document, err);
    out->failed = out->document.failed;
    return status == ATOLL_OK ? map(out, flags, err) : status;
}

void cli_vm_file_free(struct cli_vm_file *file) {
    if (file->settings)
        atoll_free(file->document.arena.alloc, file->settings, file->cap_settings * sizeof *file->settings);
    ucl_document_free(&file->document);
    *file = (struct cli_vm_file){0};
}
