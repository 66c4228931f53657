/* cli/ucl/internal.h: between the files of cli/ucl. Functions that return bool or a pointer return false or NULL after
 * reading->status was set. */
#ifndef ATOLL_CLI_UCL_INTERNAL_H
#define ATOLL_CLI_UCL_INTERNAL_H

#include "cli/ucl/ucl.h"

/* What a second value of a key does. */
enum ucl_duplicates { UCL_APPEND, UCL_MERGE, UCL_REWRITE, UCL_ERROR };

/* One document. */
struct ucl_reading {
    struct ucl_document *doc;
    const struct ucl_options *options;
    struct atoll_error *err;
    enum atoll_status status;
    void *members; /* all members of all objects, by owner and key: a tree of tsearch(3) */
    uint32_t n_values, last_id, depth, n_files, n_nested;
    size_t n_bytes, n_expanded;
};

/* One file of it. */
struct ucl_reader {
    struct ucl_reading *all;
    const char *at, *end, *line_start;
    uint32_t line, comma_line; /* comma_line: of the last comma between members */
    const struct ucl_file *file;
    const char *path, *folder; /* FILENAME, CURDIR */
    uint8_t priority;
    enum ucl_duplicates duplicates;
    bool in_arguments; /* of a macro: a word ends at its ")" */
};

/* ---- read.c ---- */

bool ucl_fail_at(struct ucl_reader *r, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define ucl_fail(r, ...) ucl_fail_at(r, (r)->at, __VA_ARGS__)
bool ucl_out_of_memory(struct ucl_reading *all);
static inline bool ucl_at_end(const struct ucl_reader *r) { return r->at == r->end; }
static inline bool ucl_next_is(const struct ucl_reader *r, char c) { return r->at < r->end && *r->at == c; }
static inline bool ucl_take(struct ucl_reader *r, char c) {
    if (!ucl_next_is(r, c)) return false;
    r->at++;
    return true;
}
static inline bool ucl_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}
void ucl_end_line(struct ucl_reader *r); /* r->at is at its end */
bool ucl_begins_comment(const struct ucl_reader *r);
/* Blanks and comments; ends of lines too, where `lines`. */
bool ucl_skip(struct ucl_reader *r, bool lines);
/* Members up to `closing`, which is taken; 0: up to the end of the file. */
bool ucl_read_members(struct ucl_reader *r, struct ucl_value *object, char closing);
/* A file's content into `object`. false: as the others */
bool ucl_read_content(struct ucl_reader *r, struct ucl_value *object);

/* ---- strings.c: each takes what its name says, and the text is the document's ---- */

const char *ucl_take_quoted(struct ucl_reader *r);
const char *ucl_take_single_quoted(struct ucl_reader *r);
bool ucl_begins_lines(const struct ucl_reader *r); /* <<WORD, and the end of its line */
const char *ucl_take_lines(struct ucl_reader *r);
const char *ucl_take_word(struct ucl_reader *r);
const char *ucl_take_key(struct ucl_reader *r);
size_t ucl_key_size(const char *at, const char *end); /* of a key without quotes; 0: there is none */
/* `text`, or another with variables put in. */
const char *ucl_expand(struct ucl_reader *r, const char *text);

/* ---- tree.c ---- */

char *ucl_new_text(struct ucl_reading *all, size_t n); /* n bytes and a zero */
struct ucl_value *ucl_new_value(struct ucl_reader *r);
struct ucl_value *ucl_new_element(struct ucl_reader *r, struct ucl_value *array);
/* The value that the next one of `key` goes to, by r's priority and what it does with duplicates. Where it counts
 * nothing it is in no object. */
struct ucl_value *ucl_new_member(struct ucl_reader *r, struct ucl_value *object, const char *key);
struct ucl_value *ucl_member(struct ucl_reading *all, const struct ucl_value *object, const char *key);
/* An object or array has no parts any more. */
void ucl_empty(struct ucl_reader *r, struct ucl_value *value);
/* A scalar or null becomes an object, an array; one that is stays as it is. */
bool ucl_become(struct ucl_reader *r, struct ucl_value *value, enum ucl_kind kind);
/* Members of `parent` into `object`: copies, where it has none of that key, or all of them. */
bool ucl_inherit(struct ucl_reader *r, struct ucl_value *object, const struct ucl_value *parent, bool all);
/* The value (and its further ones) becomes an array that has it as elements. */
bool ucl_to_array(struct ucl_reader *r, struct ucl_value *value);
void ucl_forget_members(struct ucl_reading *all);

/* ---- macros.c ---- */

/* At the "." of a macro in `object`. */
bool ucl_take_macro(struct ucl_reader *r, struct ucl_value *object);
/* A file of the document into `object`; by: what to say where it is not there. */
bool ucl_read_bytes(struct ucl_reading *all, const struct ucl_reader *settings, struct ucl_bytes *bytes,
                    const struct ucl_file *file, struct ucl_value *object);

#endif
