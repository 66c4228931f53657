/* sysvm/guest/command.h: Atoll's end of the channel to init (protocol.h): the command's standard streams, signals and
 * end, over a console port of the machine.
 *
 *   stdin  -> input ---+                       +-> output -> stdout
 *                      +-- messages -- port ---+
 *   signals, window ---+                       +-> errors -> stderr,  its exit status
 *
 * What the guest sends is bounded by the room it was given; a guest that sends more, or nonsense, has failed. Under the
 * machine lock, as streams are. */
#ifndef ATOLL_SYSVM_GUEST_COMMAND_H
#define ATOLL_SYSVM_GUEST_COMMAND_H

#include <stdbool.h>
#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/stream.h"

struct guest_command;

struct guest_command_config {
    const struct atoll_alloc *alloc;
    struct vm_stream_end
        outputs[2]; /* standard output, errors, or one for both; they outlive the command, or swallow */
    /* Whether nobody reads output 0 or 1 any more; asked after each write. NULL: somebody always does. */
    bool (*is_closed)(void *context, unsigned which);
    /* The command has ended, and all it wrote is out. Or nothing ran: why, in one line of the guest's bytes, and what
     * atoll shall exit with. One of them, once. */
    void (*ended)(void *context, int status);
    void (*failed)(void *context, int status, const char *text);
    void *context;
};

/* fails  E_NOMEM */
enum atoll_status guest_command_new(const struct guest_command_config *config, struct guest_command **out,
                                    struct atoll_error *err);
void guest_command_free(struct guest_command *command); /* NULL is allowed */

/* The port's other end, and the port. */
struct vm_stream_end guest_command_port_end(struct guest_command *command);
void guest_command_join(struct guest_command *command, struct vm_stream_device port);
/* What standard input flows to; it also hears when standard output has room again. */
struct vm_stream_device guest_command_input(struct guest_command *command, struct vm_stream_end input);
/* Hears when standard errors has room again. */
struct vm_stream_device guest_command_errors(struct guest_command *command);

bool guest_command_runs(const struct guest_command *command);
void guest_command_end_input(struct guest_command *command);
void guest_command_signal(struct guest_command *command, int number); /* 1 to 31; others do nothing */
void guest_command_window(struct guest_command *command, uint16_t columns, uint16_t rows);

#endif
