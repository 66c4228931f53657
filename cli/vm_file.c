/* cli/vm_file.c: reads a machine's file, see vm_file.h. Strings come to stand in one block, each with a zero byte:
 * none is longer than it is in the file, so twice the file's size is enough. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "atoll/alloc.h"
#include "cli/vm_file.h"

struct reader {
    const char *at, *end, *line_start;
    uint32_t line;
    char *out;           /* where the next string goes */
    uint32_t comma_line; /* of the last comma between entries */
    struct cli_vm_file *file;
    struct atoll_error *err;
    enum atoll_status status;
};

static bool fail_at(struct reader *r, const char *at, const char *text) {
    if (r->status != ATOLL_OK) return false;
    r->status = atoll_fail(r->err, ATOLL_E_SYNTAX, ATOLL_NO_OFFSET, "%s", text);
    if (r->err) r->err->line = r->line, r->err->column = (uint32_t)(at - r->line_start) + 1;
    return false;
}
static bool fail(struct reader *r, const char *text) { return fail_at(r, r->at, text); }

static bool at_end(const struct reader *r) { return r->at == r->end; }
static bool next_is(const struct reader *r, char c) { return !at_end(r) && *r->at == c; }
static bool take(struct reader *r, char c) {
    if (!next_is(r, c)) return false;
    r->at++;
    return true;
}
static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* ---- what lies between ---- */

static void end_line(struct reader *r) {
    r->at++;
    r->line++;
    r->line_start = r->at;
}

/* Comments may lie in comments. */
static bool skip_comment(struct reader *r) {
    unsigned depth = 0;
    while (r->end - r->at >= 2) {
        bool begins = r->at[0] == '/' && r->at[1] == '*', ends = r->at[0] == '*' && r->at[1] == '/';
        if (*r->at == '\n') r->line++, r->line_start = r->at + 1;
        r->at += begins || ends ? 2 : 1;
        depth += begins;
        if (ends && !--depth) return true;
    }
    r->at = r->end;
    return fail(r, "a comment has no end");
}

/* Blanks and comments; ends of lines too, where `lines`. */
static bool skip(struct reader *r, bool lines) {
    while (!at_end(r)) {
        if (is_blank(*r->at))
            r->at++;
        else if (*r->at == '\n' && lines)
            end_line(r);
        else if (*r->at == '#')
            while (!at_end(r) && *r->at != '\n') r->at++;
        else if (r->end - r->at >= 2 && r->at[0] == '/' && r->at[1] == '*') {
            if (!skip_comment(r)) return false;
        } else
            break;
    }
    return true;
}

/* ---- strings ---- */

static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \uXXXX as UTF-8: at most three bytes for six. Surrogates and zero are refused. */
static bool take_unicode(struct reader *r) {
    unsigned c = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int d = at_end(r) ? -1 : digit(*r->at);
        if (d < 0) return fail(r, "four hexadecimal digits are expected");
        c = c << 4 | (unsigned)d;
    }
    if (!c || (c >= 0xD800 && c < 0xE000)) return fail(r, "no character");
    if (c >= 0x800)
        *r->out++ = (char)(0xE0 | c >> 12), *r->out++ = (char)(0x80 | (c >> 6 & 0x3F));
    else if (c >= 0x80)
        *r->out++ = (char)(0xC0 | c >> 6);
    *r->out++ = c >= 0x80 ? (char)(0x80 | (c & 0x3F)) : (char)c;
    return true;
}

static bool take_escape(struct reader *r) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (at_end(r)) return fail(r, "a string has no end");
    char c = *r->at++;
    if (c == 'u') return take_unicode(r);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found) return fail_at(r, r->at - 1, "an escape that no string has");
    *r->out++ = to[found - from];
    return true;
}

static bool take_quoted(struct reader *r, const char **out) {
    const char *start = r->at++;
    *out = r->out;
    while (!next_is(r, '"')) {
        if (at_end(r) || *r->at == '\n') return fail_at(r, start, "a string has no end on its line");
        char c = *r->at++;
        if (c == '\\' ? !take_escape(r) : !(*r->out++ = c)) return fail(r, "a zero byte");
    }
    r->at++;
    *r->out++ = 0;
    return true;
}

/* In single quotes everything but \' is itself. */
static bool take_plain(struct reader *r, const char **out) {
    const char *start = r->at++;
    *out = r->out;
    while (!next_is(r, '\'')) {
        if (at_end(r) || *r->at == '\n') return fail_at(r, start, "a string has no end on its line");
        if (*r->at == '\\' && r->end - r->at > 1 && r->at[1] == '\'') r->at++;
        if (!(*r->out++ = *r->at++)) return fail(r, "a zero byte");
    }
    r->at++;
    *r->out++ = 0;
    return true;
}

static bool begins_comment(const struct reader *r) {
    return *r->at == '#' || (r->end - r->at >= 2 && r->at[0] == '/' && r->at[1] == '*');
}

/* Up to the end of the line, or what ends a value; blanks at its end are not part of it. */
static bool take_word(struct reader *r, const char **out) {
    const char *start = r->at, *last = start;
    for (; !at_end(r) && !strchr("\n;,]}", *r->at); r->at++) {
        if (r->at > start && is_blank(r->at[-1]) && begins_comment(r)) break;
        if (!is_blank(*r->at)) last = r->at + 1;
    }
    if (!at_end(r) && !*r->at) return fail(r, "a zero byte"); /* strchr finds it, too */
    if (last == start) return fail(r, "a value is missing");
    *out = r->out;
    memcpy(r->out, start, (size_t)(last - start));
    r->out += last - start;
    *r->out++ = 0;
    return true;
}

/* ---- entries ---- */

static bool add(struct reader *r, const char *name, const char *value, uint32_t line) {
    struct cli_vm_file *file = r->file;
    if (atoll_grow(&atoll_default_alloc, (void **)&file->entries, &file->cap_entries, file->n_entries + 1,
                   sizeof *file->entries)) {
        r->status = atoll_fail(r->err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
        return false;
    }
    file->entries[file->n_entries++] =
        (struct cli_vm_entry){name, value, line, false, r->comma_line && r->comma_line == line};
    return true;
}

static bool take_value(struct reader *r, const char **out) {
    if (next_is(r, '{')) return fail(r, "a value is text or a list");
    return next_is(r, '"') ? take_quoted(r, out) : next_is(r, '\'') ? take_plain(r, out) : take_word(r, out);
}

static const char *line_end(const struct reader *r, const char *at) {
    const char *end = memchr(at, '\n', (size_t)(r->end - at));
    return end ? end : r->end;
}

/* <<WORD, lines, WORD: lines come as they are, each with its end. */
static bool take_lines(struct reader *r, const char **out) {
    const char *word = r->at + 2, *word_end = line_end(r, word);
    while (word_end > word && is_blank(word_end[-1])) word_end--;
    for (const char *c = word; c < word_end; c++)
        if (*c < 'A' || *c > 'Z') word_end = c;
    size_t n = (size_t)(word_end - word);
    const struct reader begin = *r;
    if (!n) return fail(r, "a word in capitals is expected behind <<");
    r->at = word_end;
    if (!skip(r, false)) return false;
    if (!next_is(r, '\n')) return fail(r, "the end of the line is expected");
    *out = r->out;
    end_line(r);
    while (!at_end(r)) {
        const char *end = line_end(r, r->at), *text_end = end;
        while (text_end > r->at && is_blank(text_end[-1])) text_end--;
        if ((size_t)(text_end - r->at) == n && memcmp(r->at, word, n) == 0) {
            *r->out++ = 0;
            r->at = end;
            return true;
        }
        size_t size = (size_t)(end - r->at) + (end < r->end);
        if (memchr(r->at, 0, size)) return fail(r, "a zero byte");
        memcpy(r->out, r->at, size);
        r->out += size;
        r->at = end;
        if (!at_end(r)) end_line(r);
    }
    r->line = begin.line, r->line_start = begin.line_start;
    return fail_at(r, begin.at, "these lines have no end");
}

/* [ value, value ]: an entry each. */
static bool take_list(struct reader *r, const char *name) {
    for (;;) {
        const char *value;
        uint32_t line = r->line;
        if (!skip(r, true)) return false;
        if (take(r, ']')) return true;
        if (at_end(r)) return fail(r, "a list has no end");
        if (next_is(r, '[')) return fail(r, "a list in a list");
        if (!take_value(r, &value) || !add(r, name, value, line) || !skip(r, true)) return false;
        if (!take(r, ',') && !next_is(r, ']')) return fail(r, "\",\" or \"]\" is expected");
    }
}

static bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

static bool take_text(struct reader *r, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n)) return false;
    r->at += n;
    return true;
}

/* .include, .include(try=true): the only macro. */
static bool take_macro(struct reader *r, const char **out) {
    if (!take_text(r, CLI_VM_INCLUDE)) return fail(r, "the only macro is .include");
    bool try = take_text(r, "(try=true)");
    const char *name = try ? CLI_VM_TRY_INCLUDE : CLI_VM_INCLUDE;
    *out = r->out;
    r->out = stpcpy(r->out, name) + 1;
    return true;
}

/* As flags are called, or anything in quotes. */
static bool take_name(struct reader *r, const char **out) {
    if (next_is(r, '"')) return take_quoted(r, out);
    if (next_is(r, '.')) return take_macro(r, out);
    const char *start = r->at;
    *out = r->out;
    while (!at_end(r) && is_name(*r->at)) *r->out++ = *r->at++;
    *r->out++ = 0;
    return r->at > start || fail(r, "the name of a flag is expected");
}

/* "=", ":", or a blank; *name_end is where blanks may begin. */
static bool take_between(struct reader *r, const char *name_end) {
    if (take(r, '=') || take(r, ':')) return true;
    if (r->at > name_end && !at_end(r) && !strchr("\n;,}", *r->at)) return true;
    return fail(r, r->comma_line == r->line ? "\"=\" is expected (a value with commas stands in quotes)"
                                            : "\"=\" is expected");
}

static bool take_entry(struct reader *r) {
    const char *name, *value;
    uint32_t line = r->line;
    if (!take_name(r, &name)) return false;
    const char *name_end = r->at;
    if (!skip(r, false) || !take_between(r, name_end)) return false;
    if (!skip(r, false)) return false;
    bool is_text = r->end - r->at > 2 && r->at[0] == '<' && r->at[1] == '<';
    if (take(r, '[')
            ? !take_list(r, name)
            : !(is_text ? take_lines(r, &value) : take_value(r, &value)) || !add(r, name, value, line))
        return false;
    if (is_text) r->file->entries[r->file->n_entries - 1].is_text = true;
    if (!skip(r, false)) return false;
    if (at_end(r) || next_is(r, '\n') || next_is(r, '}') || take(r, ';')) return true;
    if (take(r, ',')) {
        r->comma_line = r->line;
        return true;
    }
    return fail(r, "the end of the line, \";\" or \",\" is expected");
}

static bool take_all(struct reader *r) {
    if (!skip(r, true)) return false;
    bool braces = take(r, '{');
    for (;;) {
        if (!skip(r, true)) return false;
        if (braces && take(r, '}')) break;
        if (at_end(r)) return !braces || fail(r, "\"}\" is missing");
        if (!take_entry(r)) return false;
    }
    return skip(r, true) && (at_end(r) || fail(r, "something stands behind the last brace"));
}

enum atoll_status cli_vm_file_parse(const char *bytes, size_t n, struct cli_vm_file *out,
                                    struct atoll_error *err) {
    *out = (struct cli_vm_file){0};
    if (n > CLI_VM_FILE_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %zu bytes", CLI_VM_FILE_MAX);
    out->text = malloc(2 * n + 1);
    if (!out->text) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    struct reader r = {.at = bytes,
                       .end = bytes + n,
                       .line_start = bytes,
                       .line = 1,
                       .out = out->text,
                       .file = out,
                       .err = err};
    if (!take_all(&r)) cli_vm_file_free(out);
    return r.status;
}

void cli_vm_file_free(struct cli_vm_file *file) {
    atoll_free(&atoll_default_alloc, file->entries, file->cap_entries * sizeof *file->entries);
    free(file->text);
    *file = (struct cli_vm_file){0};
}
