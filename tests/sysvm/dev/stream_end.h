/* tests/sysvm/dev/stream_end.h: the other end of a device's stream, kept in memory. */
#ifndef ATOLL_TESTS_STREAM_END_H
#define ATOLL_TESTS_STREAM_END_H

#include <string.h>
#include "sysvm/dev/stream.h"

struct stream_end {
    char text[65536]; /* what the guest wrote */
    size_t n, room;   /* room: how much more is taken */
    unsigned n_writes, n_wanted;
};

static inline size_t stream_end_write(void *end, const uint8_t *bytes, size_t n) {
    struct stream_end *e = end;
    if (n > e->room) n = e->room;
    if (n > sizeof e->text - 1 - e->n) n = sizeof e->text - 1 - e->n;
    memcpy(e->text + e->n, bytes, n);
    e->n += n;
    e->room -= n;
    e->text[e->n] = 0;
    e->n_writes++;
    return n;
}

static inline void stream_end_wanted(void *end) { ((struct stream_end *)end)->n_wanted++; }

static const struct vm_stream_ops stream_end_ops = {stream_end_write, stream_end_wanted, NULL};

#endif
