/* cli/profile.h: samples of a run, for `atoll profile`. */
#ifndef ATOLL_CLI_PROFILE_H
#define ATOLL_CLI_PROFILE_H

#include "cli/cli.h"
#include "runtime/runtime.h"

struct profile;
/* One at a time. NULL = out of memory. */
struct profile *profile_new(struct rt_store *store);
/* From here on the calling thread, which runs the store, is sampled by the CPU time it takes. False: there is no timer. */
bool profile_start(struct profile *profile);
void profile_stop(struct profile *profile);
/* Prints time by function to standard error, and writes a flame graph to the file `svg` (NULL: none). The store and its
 * modules are still there. Returns CLI_OK, or CLI_INTERNAL after a message. */
int profile_report(struct profile *profile, const char *svg);
void profile_free(struct profile *profile); /* NULL is allowed */

#endif
