/* sysvm/script/internal.h: what parse.c, script.c and shell.c share. */
#ifndef ATOLL_SYSVM_SCRIPT_INTERNAL_H
#define ATOLL_SYSVM_SCRIPT_INTERNAL_H

#include "sysvm/script/pattern.h"
#include "sysvm/script/script.h"

enum {
    SCRIPT_COMMAND_MAX = 900, /* bytes: shells' editors take lines of 1023 */
    SCRIPT_PATH_MAX = 100,    /* of a file in the guest; quoted at most four times as long */
    SCRIPT_LINE_MAX = 2048    /* what is typed at once */
};

enum step_kind {
    STEP_EXPECT,
    STEP_SEND,
    STEP_TYPE,
    STEP_RUN,
    STEP_COPY_IN,
    STEP_COPY_OUT,
    STEP_PAUSE,
    STEP_POWER_OFF,
    STEP_WAIT_OFF,
    STEP_KILL,
    STEP_FAIL,
    STEP_ALARM
};

struct script_step {
    enum step_kind kind;
    uint32_t line, column;
    uint64_t timeout_ns;
    struct pattern *pattern; /* owned; EXPECT, ALARM */
    const char *text;     /* what is sent, run, said; the file in the guest; the pattern as it is written */
    size_t n;             /* bytes of it; a zero byte follows */
    const char *host;     /* COPY: the file of the host */
    const uint8_t *bytes; /* COPY_IN: what is in it, borrowed */
    size_t n_bytes;
};

/* What of the output is looked at now. */
enum script_wait {
    WAIT_NOTHING, /* it is kept */
    WAIT_PATTERN,
    WAIT_MARK,   /* the shell's answer, shell.c */
    WAIT_STATUS, /* "17:" behind it */
    WAIT_DATA_MARK,
    WAIT_TRAILER, /* "base64:" behind that */
    WAIT_DATA
};
enum progress { GOES_ON, STEP_DONE };

struct shell {
    unsigned serial; /* of the answer that is waited for */
    struct pattern *mark;
    char field[16]; /* digits so far */
    size_t n_field;
    size_t copied, n_pieces; /* COPY_IN: what the guest was sent */
    bool checking;           /* ... all of them, and it counts them */
    /* COPY_OUT */
    uint32_t sum;
    size_t n_expected, size;
    uint8_t *data; /* owned; `size` bytes */
    size_t n_data;
    uint32_t bits; /* of base64 */
    unsigned n_bits;
    char line[SCRIPT_LINE_MAX];
};

struct vm_script {
    const struct atoll_alloc *alloc;
    char *text; /* owned: strings of steps */
    size_t text_bytes;
    struct script_step *steps;
    size_t n_steps, cap_steps;
    /* as it runs */
    struct vm_script_host host;
    size_t at;
    bool begun, over, advancing;
    uint64_t now_ns, deadline_ns;
    const struct script_step *alarms[VM_SCRIPT_ALARMS_MAX];
    size_t n_alarms;
    const uint8_t *send; /* what the guest has not taken yet */
    size_t n_send;
    uint8_t *kept; /* owned; output no step has looked at: kept[kept_from .. + n_kept) */
    size_t kept_from, n_kept, n_dropped;
    bool at_line_start; /* before the next byte to be looked at */
    enum script_wait wait;
    struct shell shell;
};

/* The script is over: the line of the step and what is wrong. */
void script_fail(struct vm_script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void script_send(struct vm_script *s, const void *bytes, size_t n); /* borrowed until sent */

/* shell.c: steps that need a shell at the other end. Begin types the first line, look takes a byte of the output. */
enum progress shell_begin(struct vm_script *s, const struct script_step *step);
enum progress shell_look(struct vm_script *s, const struct script_step *step, uint8_t byte);
void shell_free(struct vm_script *s);

#endif
