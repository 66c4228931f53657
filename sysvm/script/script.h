/* sysvm/script/script.h: a console script: it reads what a guest writes on its console and answers.
 *
 *   text -> vm_script_parse -> vm_script_begin, then _output, _room, _tick as things happen -> done, once
 *
 * A script has no descriptors, threads or clock of its own: whoever owns the console hands over bytes and the time, so
 * tests need neither guest nor patience. Output that no step has asked for yet is kept (VM_SCRIPT_KEPT_MAX bytes): a
 * step that waits begins where the last match ended, not when it begins. docs/scripts.md is the language. Not safe
 * for threads: under the machine lock, as streams are. */
#ifndef ATOLL_SYSVM_SCRIPT_H
#define ATOLL_SYSVM_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct vm_script;

#define VM_SCRIPT_BYTES_MAX  ((size_t)1 << 20) /* of a script's text */
#define VM_SCRIPT_STEPS_MAX  ((size_t)4096)
#define VM_SCRIPT_ALARMS_MAX ((size_t)16)        /* "fail ... when" */
#define VM_SCRIPT_KEPT_MAX   ((size_t)256 << 10) /* output kept for later steps; older goes */
#define VM_SCRIPT_COPY_MAX   ((size_t)1 << 20)   /* of a file that is copied */

struct vm_script_text {
    const char *bytes;
    size_t n;
    uint32_t first_line; /* for messages: 1, or where it stands in a larger file */
};

/* in     text: not kept; parse_duration: as flags are read ("500ms", "2s")
 * owns   *out, for vm_script_free
 * fails  E_SYNTAX (line, column), E_LIMIT, E_NOMEM */
enum atoll_status vm_script_parse(const struct atoll_alloc *alloc, const struct vm_script_text *text,
                                  bool (*parse_duration)(const char *text, uint64_t *out_ns),
                                  struct vm_script **out, struct atoll_error *err);
void vm_script_free(struct vm_script *script); /* NULL is allowed */

/* Files of the host that steps name, so that they are opened before the guest runs. */
struct vm_script_copy {
    const char *host, *guest;
    bool to_guest;
    uint32_t line;
};
bool vm_script_copy_at(const struct vm_script *script, size_t i,
                       struct vm_script_copy *out); /* false: no more */
/* What goes to the guest with copy i; borrowed until vm_script_free. */
void vm_script_copy_bytes(struct vm_script *script, size_t i, const uint8_t *bytes, size_t n);

enum vm_script_act {
    VM_SCRIPT_POWER_BUTTON,
    VM_SCRIPT_KILL /* the machine ends now */
};

struct vm_script_host {
    /* Bytes for the guest; returns how many there was room for; after fewer than n, vm_script_room. */
    size_t (*send)(void *context, const uint8_t *bytes, size_t n);
    void (*act)(void *context, enum vm_script_act act);
    /* Copy i came from the guest, whole; false (errno says why): it could not be kept. */
    bool (*save)(void *context, size_t i, const uint8_t *bytes, size_t n);
    /* The script is over, once: err is NULL, or says line and what. Called last of all in what calls it. */
    void (*done)(void *context, const struct atoll_error *err);
    void *context;
    const char *line_end; /* what ends a line that is typed: "\r" on a terminal */
};

/* Before the guest runs. `host` is copied. */
void vm_script_begin(struct vm_script *script, const struct vm_script_host *host, uint64_t now_ns);
void vm_script_output(struct vm_script *script, const uint8_t *bytes, size_t n, uint64_t now_ns);
void vm_script_room(struct vm_script *script, uint64_t now_ns);
/* A deadline may have passed. */
void vm_script_tick(struct vm_script *script, uint64_t now_ns);
/* When vm_script_tick is wanted; UINT64_MAX: not. May change with every call. */
uint64_t vm_script_deadline(const struct vm_script *script);
/* The guest has reset: what it had not read is gone; the script goes on. */
void vm_script_reset(struct vm_script *script);
/* The guest has switched itself off, or ended otherwise (`how`: "powered off"): that is what the step waits for, or the
 * script fails, unless it is over. */
void vm_script_guest_gone(struct vm_script *script, bool off, const char *how);
bool vm_script_is_over(const struct vm_script *script);

#endif
