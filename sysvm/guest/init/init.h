/* sysvm/guest/init/init.h: what the files of init share.
 *
 *   init.c     the first process: modules, file systems, then the command
 *   channel.c  messages to and from Atoll (protocol.h)
 *   command.c  the command, its pipes or terminal, its end
 *   text.c, sys.h   instead of a C library */
#ifndef ATOLL_GUEST_INIT_H
#define ATOLL_GUEST_INIT_H

#include "sysvm/guest/init/sys.h"
#include "sysvm/guest/protocol.h"

#define MAX_WORDS 512

struct settings {
    const char *root, *host, *dir;
    bool writable, terminal;
    const char *args[MAX_WORDS + 1], *env[MAX_WORDS + 1]; /* NULL behind the last */
    unsigned n_args, n_env;
};

/* ---- channel.c ---- */

struct channel {
    int port; /* -1: not there yet */
    uint32_t output_credit;
    uint8_t in[GUEST_HEADER_BYTES + GUEST_PAYLOAD_MAX]; /* an incomplete message */
    size_t n_in;
};

void channel_open(struct channel *c); /* waits for the port; fails: see fail() */
void channel_send(struct channel *c, int kind, const void *bytes, size_t n);
/* Reads what is there; calls `take` for each whole message. */
void channel_receive(struct channel *c, void (*take)(void *context, int kind, const uint8_t *bytes, size_t n),
                     void *context);

/* ---- init.c ---- */

/* Tells Atoll (or the console, before there is a port) why nothing will run, and ends the machine.
 * status  what atoll exits with; error: an errno, or 0 */
void fail(struct channel *c, int status, const char *what, const char *name, long error)
    __attribute__((noreturn));
void power_off(void) __attribute__((noreturn));

/* ---- command.c ---- */

/* Runs the command to its end and tells its status. */
void run_command(struct channel *c, const struct settings *s);

#endif
