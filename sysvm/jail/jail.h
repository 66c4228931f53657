/* sysvm/jail/jail.h: what the process of a machine may still do once a guest runs: no more than it needs, and the
 * kernel sees to it. It is the wall behind the sandbox, for the day when a device has a hole.
 *
 *   jail_new      filters are made and names of system calls learned: all that needs memory
 *   jail_enter    no new privileges, capabilities dropped, Landlock, the filter of the whole process
 *   jail_thread   a narrower filter for the calling thread
 *
 * All of it is one way and holds for threads made later; so jail_enter is called before there are any.
 * A system call that is not allowed is not made: `forbidden` is told and ends the process. */
#ifndef ATOLL_SYSVM_JAIL_H
#define ATOLL_SYSVM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct jail;

enum jail_thread_kind { JAIL_VCPU }; /* others have the process's filter */

enum jail_right {
    JAIL_READ = 1,   /* a file, or all below a folder */
    JAIL_WRITE = 2,  /* with it: below a folder also making and removing */
    JAIL_DEVICE = 4, /* ioctl of devices */
    JAIL_SOCKETS = 8 /* below a folder: UNIX sockets made and removed */
};
struct jail_path {
    const char *path; /* what does not exist is left out */
    unsigned rights;
};

struct jail_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    const struct jail_path *paths;   /* all that may be opened by name */
    size_t n_paths;
    bool tcp;        /* connections and listeners of TCP */
    bool net_admin;  /* keeps CAP_NET_ADMIN: a tap interface is attached to again after a reset */
    bool owns_files; /* keeps what changing files of other owners takes */
    /* In a signal handler, on the thread that did it; has to end the process. `call` is the name of the system call,
     * or "?" with only the number known. */
    void (*forbidden)(const char *thread, const char *call, int number);
};

/* fails  E_NOMEM, E_UNSUPPORTED (no seccomp in this kernel) */
enum atoll_status jail_new(const struct jail_config *config, struct jail **out, struct atoll_error *err);
void jail_free(struct jail *jail); /* the filters stay; `forbidden` is not called any more */
/* fails  E_IO, E_UNSUPPORTED */
enum atoll_status jail_enter(struct jail *jail, struct atoll_error *err);
enum atoll_status jail_thread(struct jail *jail, enum jail_thread_kind kind, struct atoll_error *err);
/* Whether paths are kept to by the kernel (Landlock), as far as known after jail_enter. */
bool jail_keeps_paths(const struct jail *jail);

#endif
