/* sysvm/jail/jail.h: what the process of a machine may still do once a guest runs: no more than it needs, and the
 * kernel sees to it. It is the wall behind the sandbox, for the day when a device has a hole.
 *
 *   jail_new      filters are made and names of system calls learned: all that needs memory
 *   jail_enter    no new privileges, capabilities dropped, Landlock, the filter of the whole process
 *   jail_thread   a narrower filter for the calling thread, by its role (calls.def)
 *
 * All of it is one way and holds for threads made later; so jail_enter is called before there are any.
 * A system call that is not allowed is not made: `forbidden` is told and ends the process. */
#ifndef ATOLL_SYSVM_JAIL_H
#define ATOLL_SYSVM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct jail;

/* What a thread is for; others, the loop among them, have the process's filter. */
enum jail_role { JAIL_VCPU, JAIL_DISK, JAIL_FOLDER, JAIL_ROLES };

enum jail_right {
    JAIL_READ = 1,    /* a file, or all below a folder */
    JAIL_WRITE = 2,   /* with it: below a folder also making and removing */
    JAIL_DEVICE = 4,  /* ioctl of devices */
    JAIL_SOCKETS = 8, /* below a folder: UNIX sockets made and removed */
    JAIL_SCRATCH = 16 /* below a folder: files made, used and removed; none listed */
};
struct jail_path {
    const char *path; /* what does not exist is left out; NULL: what `fd` is open on */
    unsigned rights;
    int fd;
};

struct jail_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    const struct jail_path *paths;   /* all that may be opened by name; until jail_enter */
    size_t n_paths;
    bool tcp;        /* connections and listeners of TCP; keeps CAP_NET_BIND_SERVICE */
    bool net_admin;  /* keeps CAP_NET_ADMIN: a tap interface is attached to again after a reset */
    bool owns_files; /* keeps what changing files of other owners takes */
    bool makes_code; /* memory that can be executed: an engine that translates */
    /* In a signal handler, on the thread that did it; has to end the process. `thread` is "loop" for the first one,
     * else its name; `call` is the name of the system call, or "?" with only the number known. */
    void (*forbidden)(const char *thread, const char *call, int number);
};

/* fails  E_NOMEM, E_UNSUPPORTED (no seccomp in this kernel) */
enum atoll_status jail_new(const struct jail_config *config, struct jail **out, struct atoll_error *err);
/* The filters stay; what is forbidden ends the process by SIGSYS from now on. */
void jail_free(struct jail *jail);
/* fails  E_IO, E_UNSUPPORTED */
enum atoll_status jail_enter(struct jail *jail, struct atoll_error *err);
/* fails  E_UNSUPPORTED (no memory in the kernel): the thread must not go on */
enum atoll_status jail_thread(struct jail *jail, enum jail_role role, struct atoll_error *err);

/* What holds after jail_enter. */
struct jail_holds {
    uint64_t capabilities;            /* that are left */
    unsigned landlock;                /* its version; 0: the kernel has none, so paths are not kept to */
    size_t n_paths;                   /* that may be opened */
    unsigned n_calls[JAIL_ROLES + 1]; /* system calls a role may make; the last one: the loop */
};
void jail_holds(const struct jail *jail, struct jail_holds *out);

#endif
