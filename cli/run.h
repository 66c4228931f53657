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
const bc_stop *cli_stop_flag(void); /* what is not 0 once one of them has come */
int cli_stop_signal(void);          /* the signal that came, or 0 */

/* compiled.c: what was compiled of a module, counts and reasons, and whether it was validated by an earlier run, to
 * standard error. */
void compiled_stats(const struct rt_module *module, bool was_valid);

/* coredump.c: a file that tells what a trapped program held: frames with locals and operands, memories,
 * globals. source  WebAssembly tool conventions, "Coredump" */
struct coredump;
/* Watches the store from here on (store->observer); NULL = out of memory. */
struct coredump *coredump_new(struct rt_store *store);
/* Writes what the store's last trap left; the file appears whole or not at all. `program` is the name of what
 * ran, `thread` the number of its thread, 0 for the first. Returns CLI_OK, or CLI_INTERNAL after a message. */
int coredump_write(struct coredump *dump, const char *path, const char *program, uint32_t thread);
/* Of a thread's store, which no debugger observes; NULL: it has none. */
struct coredump *coredump_of(const struct rt_store *store);
void coredump_free(struct coredump *dump); /* NULL is allowed; the store is still there */

/* gdb.c: serves a debugger over the loopback device by the remote protocol. */
struct gdb;
/* Listens at the port (0: one that is free). Observes the store from here
 * on, in front of who did before; its engine has to have been made with probes. `n_preloads`: how many
 * instances come before the program's own. NULL: fails E_IO, E_NOMEM */
struct gdb *gdb_new(struct rt_store *store, uint16_t port, uint32_t n_preloads, struct atoll_error *err);
/* The program may start threads; before it runs. NULL is allowed. */
void gdb_expect_threads(struct gdb *gdb);
/* Observes the store of another thread, in front of who did before: called by that thread, before anything runs in the
 * store. NULL: out of memory. */
struct gdb_thread;
struct gdb_thread *gdb_thread_new(struct gdb *gdb, struct rt_store *store);
/* Behind the last run of its store, which is still there. NULL is allowed. */
void gdb_thread_end(struct gdb_thread *thread);
/* Says where on standard error, and waits until a debugger is there. Signals are watched by then: who reads the line may
 * send one. fails E_IO, E_INTERRUPTED */
enum atoll_status gdb_wait(struct gdb *gdb, struct atoll_error *err);
/* Whether the debugger ended the program; NULL: no. */
bool gdb_killed(const struct gdb *gdb);
/* Tells the debugger what atoll exits with. */
void gdb_finish(struct gdb *gdb, int status);
void gdb_free(struct gdb *gdb); /* NULL is allowed; the store is still there */

#endif
