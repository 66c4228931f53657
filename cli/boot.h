/* cli/boot.h: what the files of `atoll boot` share.
 *
 *   boot.c      flags -> machine -> run -> exit status
 *   console.c   the guest's console: the terminal's raw mode, escape keys, what a panic says */
#ifndef ATOLL_CLI_BOOT_H
#define ATOLL_CLI_BOOT_H

#include "cli/cli.h"
#include "sysvm/machine.h"

struct boot_console;

/* What a key or the guest's output asks for; called on the loop's thread. */
struct boot_console_events {
    void (*quit)(void *context);     /* Ctrl-a x */
    void (*panicked)(void *context); /* the guest's kernel panicked and has said all it had to say */
    void *context;
};

/* Standard input and output as the guest's console. A terminal goes into raw mode until free.
 * fails  E_NOMEM, E_IO */
enum atoll_status boot_console_new(struct vm_loop *loop, const struct boot_console_events *events,
                                   struct boot_console **out, struct atoll_error *err);
void boot_console_free(struct boot_console *console); /* NULL is allowed */
struct vm_stream_end boot_console_end(struct boot_console *console);
void boot_console_join(struct boot_console *console, struct vm_stream_device device);
/* Whether a line of a kernel's panic went by. */
bool boot_console_saw_panic(const struct boot_console *console);
/* The line of the panic, if there was one, and the last lines that went by, to stderr. */
void boot_console_print_last(const struct boot_console *console);

#endif
