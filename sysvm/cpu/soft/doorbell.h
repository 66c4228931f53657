/* sysvm/cpu/soft/doorbell.h: addresses whose writes go to an eventfd instead of a device. */
#ifndef ATOLL_SYSVM_CPU_SOFT_DOORBELL_H
#define ATOLL_SYSVM_CPU_SOFT_DOORBELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"

struct soft_doorbell {
    uint64_t gpa;
    unsigned n_bytes; /* 0: any width */
    int eventfd;
};
struct soft_doorbells { /* sorted by address; searched at every write to a device, changed seldom */
    const struct atoll_alloc *alloc;
    pthread_rwlock_t lock;
    struct soft_doorbell *items;
    size_t n, capacity;
};

void soft_doorbell_init(struct soft_doorbells *bells, const struct atoll_alloc *alloc);
void soft_doorbell_fini(struct soft_doorbells *bells);
/* As struct vm_irq_ops.doorbell. 0, EEXIST, ENOENT, ENOMEM. Any thread. */
int soft_doorbell_set(struct soft_doorbells *bells, uint64_t gpa, unsigned n_bytes, int eventfd, bool on);
/* False: there is none for this write. Any thread. */
bool soft_doorbell_ring(struct soft_doorbells *bells, uint64_t gpa, unsigned n_bytes);

#endif
