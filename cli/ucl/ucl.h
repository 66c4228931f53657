/* cli/ucl/ucl.h: the universal configuration language (libucl's syntax; JSON is a part of it) as a tree. The one header
 * of this folder for the others.
 *
 *   bytes -> read.c (objects, arrays, keys) -> tree.c (what a second value of a key does) -> struct ucl_document
 *              |          \
 *              |           macros.c (.include, .load, .inherit, .priority) -> struct ucl_files -> more bytes
 *              strings.c (strings, words, variables), scalars.c (what a word is)
 *
 * A value keeps its text beside what it is, so who wants 512M as these four letters has them. Everything is bounded:
 * see the limits below. Where this differs from libucl and why: docs/machine-files.md. */
#ifndef ATOLL_CLI_UCL_H
#define ATOLL_CLI_UCL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bytecode/bytecode.h"

#define UCL_BYTES_MAX ((size_t)1 << 20) /* of all files of a document; of all strings with variables put in */
enum {
    UCL_VALUES_MAX = 1 << 16,
    UCL_DEPTH_MAX = 128,  /* a value in another */
    UCL_NESTED_MAX = 16,  /* a file in another */
    UCL_FILES_MAX = 1024, /* one behind the other */
    UCL_PRIORITY_MAX = 15
};

/* Time is a number of seconds. */
enum ucl_kind { UCL_NULL, UCL_BOOL, UCL_INT, UCL_FLOAT, UCL_TIME, UCL_STRING, UCL_ARRAY, UCL_OBJECT };

struct ucl_file {
    const char *name;            /* as it was called */
    const struct ucl_file *from; /* the file that includes it; NULL: none */
    uint32_t from_line;
};

struct ucl_value {
    enum ucl_kind kind;
    uint8_t priority;
    bool is_inherited;
    bool is_lines;    /* came as lines; the first is the one behind `line` */
    bool after_comma; /* its key stands behind a comma on the same line */
    uint32_t line, id, owner;
    const struct ucl_file *file;
    const char *key; /* NULL: an element of an array, or the whole */
    const char
        *text; /* of a scalar: as written, but without quotes, escapes and variables; no zero byte in it */
    union {
        bool is_true;
        int64_t integer;
        double number;
    };
    struct ucl_value *first, *last;       /* members, elements: in order */
    struct ucl_value *next;               /* of the same object or array */
    struct ucl_value *again, *again_last; /* the same key's next value (libucl: an implicit array) */
};

/* What `read` gave: both owned by the caller, from malloc. */
struct ucl_bytes {
    char *bytes;
    size_t n;
    char *path; /* from the root */
};

/* What macros can reach. Both functions fill *err when they fail. */
struct ucl_files {
    /* out    *out; err->system_errno is ENOENT or ENOTDIR where there is no such file */
    enum atoll_status (*read)(void *context, const char *path, size_t max_bytes, struct ucl_bytes *out,
                              struct atoll_error *err);
    /* Calls `each` for each file that fits the pattern, in order, until it returns false. */
    enum atoll_status (*match)(void *context, const char *pattern, bool (*each)(void *to, const char *path),
                               void *to, struct atoll_error *err);
    void *context;
};
extern const struct ucl_files ucl_system_files;

struct ucl_variable {
    const char *name, *value;
};
struct ucl_options {
    const struct ucl_files *files;        /* NULL: no macros */
    const struct ucl_variable *variables; /* beside CURDIR and FILENAME; ends with a name NULL; NULL: none */
    const struct atoll_alloc *alloc;      /* of the document's memory; NULL: the default */
};

struct ucl_document {
    struct bc_arena arena;
    struct ucl_value *root;        /* an object, or an array */
    const struct ucl_file *failed; /* the file that err->line is in, when reading failed; NULL: none */
};

/* A document from memory, or from a file through options->files.
 * in     bytes[0 .. n): not kept; name: for messages, kept
 * out    *out also after a failure, for ucl_document_free; it refers to `name`, and nothing else of the caller's
 * fails  E_SYNTAX (line, column in out->failed), E_LIMIT (so, or of a file as a whole), E_IO, E_NOMEM */
enum atoll_status ucl_read(const char *name, const char *bytes, size_t n, const struct ucl_options *options,
                           struct ucl_document *out, struct atoll_error *err);
enum atoll_status ucl_read_file(const char *path, const struct ucl_options *options, struct ucl_document *out,
                                struct atoll_error *err);
void ucl_document_free(struct ucl_document *document);

/* Makes a word a null, a truth value, a number or text. in: text: kept. NULL, or what is wrong with a number. */
const char *ucl_classify(struct ucl_value *value, const char *text);
/* NULL: the object has no such key. */
const struct ucl_value *ucl_find(const struct ucl_value *object, const char *key);
/* The text of a scalar that is the key's; NULL: there is none. */
const char *ucl_text(const struct ucl_value *object, const char *key);

#endif
