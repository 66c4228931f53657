/* sysvm/dev/host_stream.h: two descriptors of the host (a terminal, pipes, files) as the other end of a device.
 *
 * Nothing here waits, and nobody else's descriptor changes its flags: a terminal or pipe is opened again for
 * writing without waiting where /proc lets us. After an error or a closed pipe output is swallowed. */
#ifndef ATOLL_SYSVM_HOST_STREAM_H
#define ATOLL_SYSVM_HOST_STREAM_H

#include <stdbool.h>
#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/stream.h"
#include "sysvm/loop.h"

struct vm_host_stream;

struct vm_host_stream_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop; /* outlives the stream */
    int in, out;          /* borrowed; -1 = none */
    /* Sees input first and may shorten it in place (escape keys); returns how many bytes are for the guest. NULL:
     * all of them. */
    size_t (*filter)(void *context, uint8_t *bytes, size_t n);
    /* All input there will ever be was handed over. NULL: nobody asks. */
    void (*ended)(void *context);
    void *context;
};

/* fails  E_NOMEM */
enum atoll_status vm_host_stream_new(const struct vm_host_stream_config *config, struct vm_host_stream **out,
                                     struct atoll_error *err);
void vm_host_stream_free(
    struct vm_host_stream *stream); /* before the loop, after the device; NULL is allowed */
/* For the device's configuration. */
struct vm_stream_end vm_host_stream_end(struct vm_host_stream *stream);
/* Input flows to `device` from now on. */
void vm_host_stream_join(struct vm_host_stream *stream, struct vm_stream_device device);
/* The device hears when there is room for output again; input stays where it is until vm_host_stream_join. */
void vm_host_stream_join_output(struct vm_host_stream *stream, struct vm_stream_device device);
/* Output is swallowed: its reader has gone, or it failed. */
bool vm_host_stream_is_closed(const struct vm_host_stream *stream);

/* The errno that output failed with first; 0: it did not, or its reader has gone. */
int vm_host_stream_error(const struct vm_host_stream *stream);

#endif
