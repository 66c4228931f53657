/* sysvm/image/queue.h: an image used by a machine: requests that are started and end later.
 *
 *   img_submit -> in one piece of the host file, and io_uring works: the ring -+-> done, on the loop thread
 *              -> else: a worker thread ---------------------------------------+
 *
 * What lies in one piece is asked of the image without waiting (raw: always; qcow2: tables in memory, written
 * in place). Everything else, and all of it where the kernel or a filter refuses io_uring, is done by a few
 * threads that are there from the start. All functions are called under the machine lock. */
#ifndef ATOLL_IMAGE_QUEUE_H
#define ATOLL_IMAGE_QUEUE_H

#include "sysvm/image/image.h"
#include "sysvm/loop.h"

struct img_queue;

enum img_op { IMG_READ, IMG_WRITE, IMG_FLUSH, IMG_DISCARD, IMG_ZERO, IMG_ZERO_UNMAP };

struct img_request {
    enum img_op op;
    uint64_t offset, n_bytes; /* n_bytes: of all ops but FLUSH; the pieces' sum for READ and WRITE */
    const struct iovec *iov;  /* READ, WRITE; memory and array stay until the end */
    int n_iov;                /* at most IMG_MAX_IOV */
    /* The end: 0 or an errno as img_readv etc. have. The request is the caller's again and may be submitted. */
    void (*done)(struct img_request *request, int error);
    /* the queue's */
    struct img_request *next;
    int error;
    bool borrowed;
};

struct img_queue_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    struct vm_loop *loop;            /* these outlive the queue */
    struct sandbox *sandbox;         /* every request is asked and traced there */
    struct img *img;
    const char *name;   /* of the disk in trace lines; NULL = the image's */
    unsigned n_workers; /* 0 = IMG_WORKERS_DEFAULT */
    bool no_uring;      /* threads only (tests) */
    /* Called after one or more `done`; NULL allowed. */
    void (*batch_done)(void *context);
    void *context;
};
enum { IMG_WORKERS_DEFAULT = 4, IMG_WORKERS_MAX = 16, IMG_RING_ENTRIES = 128 };

/* fails  E_NOMEM, E_IO (no threads, no eventfd) */
enum atoll_status img_queue_new(const struct img_queue_config *config, struct img_queue **out,
                                struct atoll_error *err);
/* Drains; no `done` is called after it. NULL is allowed. The image stays. */
void img_queue_free(struct img_queue *q);
bool img_queue_uses_uring(const struct img_queue *q);

/* Starts a request; `done` is never called from here. */
void img_submit(struct img_queue *q, struct img_request *request);
/* What was submitted since the last time reaches the kernel: once a batch. */
void img_submit_batch(struct img_queue *q);
/* Waits until nothing is under way and calls every `done`. For a reset: guest memory is touched by nobody
 * afterwards. */
void img_queue_drain(struct img_queue *q);

#endif
