/* cli/terminal.h: the user's terminal as a guest's: raw, with a key that is ours. Its state is of the process, and has to
 * come back on every way out, hence the statics in terminal.c. */
#ifndef ATOLL_CLI_TERMINAL_H
#define ATOLL_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Standard input in raw mode, bytes of the guest's both ways as they are; false: it is no terminal. A fault of ours
 * gives it back; with `signals` so do those that ask the process to end. */
bool cli_terminal_raw(bool signals);
const char *cli_terminal_line_end(void); /* of messages: in raw mode it takes the cursor back, too */
void cli_terminal_restore(void); /* any thread, any signal handler; does nothing where it is not raw */

struct cli_keys {
    const char *quits; /* what Ctrl-a x does, for the help */
    void (*quit)(void *context);
    void *context;
    bool escaped; /* the last key was Ctrl-a */
};
/* Takes Ctrl-a and the key behind it out of bytes[0 .. n), in place. Returns how many are left for the guest. */
size_t cli_keys_filter(struct cli_keys *keys, uint8_t *bytes, size_t n);

#endif
