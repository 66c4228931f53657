/* sysvm/cpu/soft/doorbell.c: see doorbell.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "sysvm/cpu/soft/doorbell.h"

void soft_doorbell_init(struct soft_doorbells *bells, const struct atoll_alloc *alloc) {
    *bells = (struct soft_doorbells){.alloc = alloc};
    pthread_rwlock_init(&bells->lock, NULL);
}

void soft_doorbell_fini(struct soft_doorbells *bells) {
    atoll_free(bells->alloc, bells->items, bells->capacity * sizeof *bells->items);
    pthread_rwlock_destroy(&bells->lock);
}

/* The first that does not stand below gpa. */
static size_t find(const struct soft_doorbells *bells, uint64_t gpa) {
    size_t low = 0, high = bells->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bells->items[middle].gpa < gpa)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int add(struct soft_doorbells *bells, size_t at, const struct soft_doorbell *bell) {
    if (atoll_grow(bells->alloc, (void **)&bells->items, &bells->capacity, bells->n + 1,
                   sizeof *bells->items))
        return ENOMEM;
    memmove(bells->items + at + 1, bells->items + at, (bells->n++ - at) * sizeof *bells->items);
    bells->items[at] = *bell;
    return 0;
}

static int set(struct soft_doorbells *bells, const struct soft_doorbell *bell, bool on) {
    size_t at = find(bells, bell->gpa);
    for (; at < bells->n && bells->items[at].gpa == bell->gpa; at++) {
        if (bells->items[at].n_bytes != bell->n_bytes) continue;
        if (on) return EEXIST;
        memmove(bells->items + at, bells->items + at + 1, (--bells->n - at) * sizeof *bells->items);
        return 0;
    }
    return on ? add(bells, at, bell) : ENOENT;
}

int soft_doorbell_set(struct soft_doorbells *bells, uint64_t gpa, unsigned n_bytes, int eventfd, bool on) {
    struct soft_doorbell bell = {gpa, n_bytes, eventfd};
    pthread_rwlock_wrlock(&bells->lock);
    int error = set(bells, &bell, on);
    pthread_rwlock_unlock(&bells->lock);
    return error;
}

bool soft_doorbell_ring(struct soft_doorbells *bells, uint64_t gpa, unsigned n_bytes) {
    bool rung = false;
    pthread_rwlock_rdlock(&bells->lock);
    for (size_t at = find(bells, gpa); at < bells->n && bells->items[at].gpa == gpa && !rung; at++) {
        if (bells->items[at].n_bytes && bells->items[at].n_bytes != n_bytes) continue;
        uint64_t one = 1;
        rung = true;
        if (write(bells->items[at].eventfd, &one, sizeof one) < 0) rung = true; /* full: it rings already */
    }
    pthread_rwlock_unlock(&bells->lock);
    return rung;
}
