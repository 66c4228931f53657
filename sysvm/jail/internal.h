/* sysvm/jail/internal.h: what this folder's files share. */
#ifndef ATOLL_SYSVM_JAIL_INTERNAL_H
#define ATOLL_SYSVM_JAIL_INTERNAL_H

#include <linux/filter.h>
#include "sysvm/jail/jail.h"

#define JAIL_CALLS 512 /* numbers of system calls whose names are known */

/* Builds with a sanitizer look at their own memory map, and for leaks at their end from a process that traces them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAIL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JAIL_SANITIZED 1
#endif
#endif
#ifndef JAIL_SANITIZED
#define JAIL_SANITIZED 0
#endif

struct jail_filter {
    struct sock_filter *code;
    size_t n_bytes;
};

struct jail {
    const struct atoll_alloc *alloc;
    struct jail_config config;
    struct jail_filter filters[JAIL_ROLES + 1]; /* the last one is the process's */
    struct jail_holds holds;
    char names[JAIL_CALLS][24];
};

/* seccomp.c: fails E_NOMEM, E_UNSUPPORTED */
enum atoll_status jail_make_filters(struct jail *jail, struct atoll_error *err);
void jail_learn_names(struct jail *jail);
enum atoll_status jail_apply(const struct jail_filter *filter, struct atoll_error *err);

/* landlock.c: fails E_IO; a kernel without it is no failure. */
enum atoll_status jail_keep_to_paths(struct jail *jail, struct atoll_error *err);

#endif
