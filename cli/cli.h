/* cli/cli.h: what the verbs of the atoll command share.
 *
 *   main.c -> the verb of argv[1] (one file a verb) -> cli_next over its flag table -> library calls
 *
 * A verb is a row: name, one line, flags, text. Help, the man page and the shell completion are printed from
 * the same rows, so they cannot drift. Only this folder prints and decides the exit status. */
#ifndef ATOLL_CLI_H
#define ATOLL_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "bytecode/bytecode.h"

/* What atoll exits with. `run` passes a program's own status through instead. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,         /* validate, asm, dis, objdump: the input is broken */
    CLI_USAGE = 2,          /* wrong flags or arguments */
    CLI_SCRIPT = 123,       /* boot: the console script failed */
    CLI_TIMEOUT = 124,      /* run, boot: --timeout ended the program or guest */
    CLI_INTERNAL = 125,     /* atoll's own fault: output that cannot be written, memory; run: a grant */
    CLI_NOT_LOADABLE = 126, /* run, boot: the file is no program or kernel that can be started */
    CLI_NOT_FOUND = 127,    /* run, boot: there is no such file */
    CLI_TRAP = 134,         /* run: the program trapped */
    CLI_PANIC = 255,        /* boot: the guest panicked or crashed */
    CLI_SIGNAL = 128        /* run: + the number of the signal that ended the program (130 = Ctrl-C) */
};

/* ---- verbs and flags ---- */

struct cli_flag {
    int id;            /* what cli_next returns: the verb's own enum, from 1 */
    const char *name;  /* long form without the dashes */
    char letter;       /* short form, or 0 */
    const char *value; /* "FILE", or NULL when the flag takes none */
    const char *help;  /* one line */
};

struct cli_parser;
struct cli_verb {
    const char *name;
    const char *arguments;                 /* "FILE [ARGS...]" */
    const char *summary;                   /* one line, lower case, no period */
    const char *text;                      /* paragraphs for help and man page, separated by empty lines */
    const struct cli_flag *flags;          /* ends with a row of zeroes; NULL = none */
    bool first_argument_ends_flags;        /* what follows belongs to a program */
    int (*run)(struct cli_parser *parser); /* returns the exit status */
};

/* Every verb, in the order help lists them. cli/NAME.c defines `const struct cli_verb cli_verb_NAME`. */
#define CLI_VERB_LIST(X)                                                                                     \
    X(run)                                                                                                   \
    X(profile)                                                                                               \
    X(boot)                                                                                                  \
    X(vm)                                                                                                    \
    X(validate)                                                                                              \
    X(asm)                                                                                                   \
    X(dis)                                                                                                   \
    X(compile)                                                                                               \
    X(objdump)                                                                                               \
    X(disk)                                                                                                  \
    X(features)                                                                                              \
    X(help)
#define X(name) extern const struct cli_verb cli_verb_##name;
CLI_VERB_LIST(X)
#undef X
extern const struct cli_verb *const cli_verbs[]; /* ends with NULL */
const struct cli_verb *cli_verb_find(const char *name);

struct cli_parser {
    const struct cli_verb *verb;
    char **argv; /* the verb's arguments, the verb's name excluded; ends with NULL */
    int argc, at;
    bool flags_ended;
    const char *letters; /* rest of a group of short flags, or NULL */
    const char *value;   /* of the flag or argument last returned; NULL when the flag takes none */
};
enum { CLI_END = 0, CLI_ARGUMENT = -1, CLI_HELP = -2, CLI_BAD = -3 };
/* The next flag or argument: a flag's id, or
 *   CLI_ARGUMENT  parser->value is a positional argument ("-" too)
 *   CLI_END       nothing is left
 *   CLI_HELP      --help or -h was given and help has been printed: return CLI_OK
 *   CLI_BAD       wrong, and the reason has been printed: return CLI_USAGE
 * Forms: --name VALUE, --name=VALUE, -nVALUE, -n VALUE, -abc; "--" ends the flags. */
int cli_next(struct cli_parser *parser);
/* Prints "atoll VERB: ..." and where help is; returns CLI_USAGE. */
int cli_usage(const struct cli_verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The one of words[] (ends with NULL) that `word` probably means, or NULL. */
const char *cli_nearest(const char *word, const char *const *words);

/* ---- values of flags ---- */

/* Each returns false when `text` is not one. */
bool cli_parse_count(const char *text, uint64_t *out);       /* 1000, 0x10, 1_000_000; never octal */
bool cli_parse_size(const char *text, uint64_t *out_bytes);  /* 65536, 64k, 16M, 2GiB, 1T */
bool cli_parse_duration(const char *text, uint64_t *out_ns); /* 500ms, 2s, 1.5m, 1d; bare: seconds */

/* ---- messages ---- */

/* Both print one line to stderr, "atoll: " first; untrusted bytes are escaped. */
void cli_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A program file as messages call it: "-" is <stdin>. */
const char *cli_file_name(const char *path);
/* "atoll: FILE:LINE:COLUMN: text", "atoll: FILE:0x1f: text" or "atoll: FILE: text". */
void cli_error(const char *file, const struct atoll_error *err);

/* Bytes of the well-formed UTF-8 sequence that `text` begins with; 0 = none, or the end. */
size_t cli_utf8_size(const char *text);
/* Prints text as a JSON string. Bytes that are no UTF-8 become U+FFFD: JSON has no form for them. Returns
 * whether there were any. */
bool cli_json_string(const char *text);
/* The same to another file; at most about `max` bytes of text. */
bool cli_json_write(FILE *out, const char *text, size_t max);
/* Tells why a tool could not read `file`; returns CLI_FAILED, or CLI_INTERNAL when memory ran out. */
int cli_input_failed(const char *file, const struct atoll_error *err);

/* Whether a signal or the timer of `run --timeout` asked for an end (stop.c). */
bool cli_stopped(void);

/* ---- files ---- */

struct cli_file {
    uint8_t *bytes; /* owned: a mapped file would change under the program when somebody writes to it */
    size_t size;
};
enum { CLI_FILE_HEAD = 4 };
/* How many bytes are wanted of a file that begins with these n: CLI_FILE_HEAD, unless it has fewer, or more;
 * UINT64_MAX = all. */
typedef uint64_t cli_file_wanted(const uint8_t *bytes, size_t n);
/* The bytes of `path`, "-" meaning standard input.
 * in     wanted: asked once; as many, or what was read so far if that is more, are the file; NULL = read everything
 * out    *out, released with cli_file_close
 * fails  E_IO (system_errno; text says why), E_INTERRUPTED, E_NOMEM, E_LIMIT (larger than max_bytes; 0 = no
 *        bound) */
enum atoll_status cli_file_read(const char *path, uint64_t max_bytes, cli_file_wanted *wanted,
                                struct cli_file *out, struct atoll_error *err);
/* The same, but of a regular file that has more than was wanted *out_fd is a descriptor, the caller's; else -1.
 * Standard input is always read to its end. */
enum atoll_status cli_file_read_part(const char *path, uint64_t max_bytes, cli_file_wanted *wanted,
                                     struct cli_file *out, int *out_fd, struct atoll_error *err);
/* The same from a descriptor, which stays open; and whether it is a regular file with more than was read. */
enum atoll_status cli_descriptor_read(int fd, uint64_t max_bytes, cli_file_wanted *wanted,
                                      struct cli_file *out, struct atoll_error *err);
bool cli_descriptor_has_more(int fd, const struct cli_file *file);
void cli_file_close(struct cli_file *file);
/* A file that is being written (output.c): a regular file appears whole at the end or not at all. One at a
 * time. */
struct cli_output {
    const char *path;           /* NULL: standard output */
    char *target;               /* owned: the regular file that what is written will become, or NULL */
    char by_fd[32];             /* how a file without a name is opened; "": it has another name */
    int fd, error;              /* errno of the first write that failed; later ones do nothing */
    struct sigaction before[3]; /* of the signals that would leave something behind */
};
/* `path` is borrowed until close; "-" and NULL mean standard output. Returns CLI_OK, or CLI_INTERNAL after a
 * message, and then there is nothing to close. */
int cli_output_open(struct cli_output *out, const char *path);
/* Where the bytes go until close, for who opens the file by its name; NULL for standard output. */
const char *cli_output_path(const struct cli_output *out);
/* A bc_sink: `out` is a struct cli_output. */
bool cli_output_write(void *out, const void *bytes, size_t size);
/* What was written takes the file's place when `keep` and every write succeeded, else it goes. Returns
 * CLI_OK, or CLI_INTERNAL after a message (none for a closed pipe). */
int cli_output_close(struct cli_output *out, bool keep);
/* All three with all the bytes. */
int cli_file_write(const char *path, const void *bytes, size_t size);

/* ---- program files (program.c) ---- */

/* The bytes of a program file in either format. No bytes at all are the text of an empty module in a file
 * named .wat and a broken program elsewhere: what made it failed.
 * fails   as cli_file_read; E_MALFORMED where the file begins as no program, before it is read to its end */
enum atoll_status cli_program_read(const char *path, struct cli_file *out, struct atoll_error *err);
/* To run it: of a large file of `atoll compile` all but the machine code, which is to be read from *out_fd when it is
 * wanted; else *out_fd = -1. */
enum atoll_status cli_program_read_to_run(const char *path, struct cli_file *out, int *out_fd,
                                          struct atoll_error *err);

/* What tools see: a program file, read, assembled when it is text, and decoded. */
struct cli_program {
    struct cli_file file;
    struct bc_buf bytes;       /* assembled from text; else empty */
    struct bc_source_map *map; /* of text, or NULL */
    struct bc_module *module;
};
/* out    *out, released with cli_program_close in any case
 * fails  as cli_program_read, bc_text_assemble, bc_module_decode and, where `validate`, bc_module_validate; a
 * fault found in bytes made from text is placed in the text */
enum atoll_status cli_program_open(const char *path, bool validate, struct cli_program *out,
                                   struct atoll_error *err);
void cli_program_close(struct cli_program *program);

/* ---- help.c, manual.c ---- */

void cli_help_general(void);
void cli_help_verb(const struct cli_verb *verb);
void cli_manual_roff(void);
void cli_manual_bash(void);
/* Flushes standard output. Returns `status`, or CLI_INTERNAL after a message when what was printed is lost.
 */
int cli_finish(int status);

#endif
