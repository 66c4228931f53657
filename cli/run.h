/* cli/run.h: the parts of `atoll run`. */
#ifndef ATOLL_CLI_RUN_H
#define ATOLL_CLI_RUN_H

#include "cli/cli.h"
#include "runtime/runtime.h"

/* invoke.c: calls an export with arguments written as text and prints its results, one a line.
 * fails  E_USAGE (no such function, wrong arguments), E_UNSUPPORTED (a type that has no text), as rt_call */
enum atoll_status cli_invoke(struct rt_store *store, struct rt_instance *instance, const char *name,
                             char *const *args, size_t n_args, struct atoll_error *err);

/* stop.c: from here on Ctrl-C, SIGTERM and, after timeout_ns (0 = never), the timer end the store's program.
 * A second Ctrl-C ends atoll at once. */
void cli_stop_watch(struct rt_store *store, uint64_t timeout_ns);
void cli_stop_unwatch(void);
int cli_stop_signal(void); /* the signal that came, or 0 */

#endif
