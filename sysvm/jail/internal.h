/* sysvm/jail/internal.h: what this folder's files share. */
#ifndef ATOLL_SYSVM_JAIL_INTERNAL_H
#define ATOLL_SYSVM_JAIL_INTERNAL_H

#include <linux/filter.h>
#include "sysvm/jail/jail.h"

#define JAIL_CALLS 512 /* numbers of system calls whose names are known */

struct jail_filter {
    struct sock_filter *code;
    size_t n_bytes;
};

struct jail {
    const struct atoll_alloc *alloc;
    struct jail_config config;
    struct jail_filter process, vcpu;
    bool keeps_paths;
    char names[JAIL_CALLS][24];
};

/* seccomp.c: fails E_NOMEM, E_UNSUPPORTED */
enum atoll_status jail_make_filters(struct jail *jail, struct atoll_error *err);
void jail_learn_names(struct jail *jail);
enum atoll_status jail_apply(const struct jail_filter *filter, struct atoll_error *err);

/* landlock.c: fails E_IO; a kernel without it is no failure. */
enum atoll_status jail_keep_to_paths(struct jail *jail, struct atoll_error *err);

#endif
