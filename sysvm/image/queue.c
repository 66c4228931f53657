/* sysvm/image/queue.c: see queue.h. */
#include <liburing.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sysvm/image/internal.h"
#include "sysvm/image/queue.h"

enum { STACK_BYTES = 1 << 20 }; /* a chain of IMG_CHAIN_MAX images takes half of it */

struct list {
    struct img_request *first, *last;
};

struct img_queue {
    struct img_queue_config config;
    const struct atoll_alloc *alloc;
    struct img *img;
    int done_fd; /* an eventfd: the ring and the workers tell that something is done */
    struct vm_watch *watch;
    bool has_ring;
    struct io_uring ring;
    unsigned n_in_ring, n_unsubmitted, n_under_way;
    pthread_mutex_t lock; /* of what follows, down to `stop` */
    pthread_cond_t wake, ended;
    struct list todo, done;
    bool stop;
    pthread_t workers[IMG_WORKERS_MAX];
    unsigned n_workers;
};

static void put(struct list *list, struct img_request *r) {
    r->next = NULL;
    if (list->last)
        list->last->next = r;
    else
        list->first = r;
    list->last = r;
}

static struct img_request *take(struct list *list) {
    struct img_request *r = list->first;
    if (!r) return NULL;
    list->first = r->next;
    if (!list->first) list->last = NULL;
    return r;
}

/* ---- the sandbox ---- */

static struct sb_request ask_for(const struct img_queue *q, const struct img_request *r) {
    static const enum sb_kind kinds[] = {
        [IMG_READ] = SB_DISK_READ,       [IMG_WRITE] = SB_DISK_WRITE, [IMG_FLUSH] = SB_DISK_FLUSH,
        [IMG_DISCARD] = SB_DISK_DISCARD, [IMG_ZERO] = SB_DISK_ZERO,   [IMG_ZERO_UNMAP] = SB_DISK_ZERO};
    return (struct sb_request){.kind = kinds[r->op],
                               .name = q->config.name,
                               .name_size = strlen(q->config.name),
                               .numbers = {r->n_bytes, r->offset}};
}

/* ---- workers ---- */

static int perform(struct img *img, const struct img_request *r) {
    switch (r->op) {
    case IMG_READ: return img_readv(img, r->iov, r->n_iov, r->offset);
    case IMG_WRITE: return img_writev(img, r->iov, r->n_iov, r->offset);
    case IMG_FLUSH: return img_flush(img);
    case IMG_DISCARD: return img_discard(img, r->offset, r->n_bytes);
    case IMG_ZERO: return img_write_zeroes(img, r->offset, r->n_bytes, false);
    case IMG_ZERO_UNMAP: return img_write_zeroes(img, r->offset, r->n_bytes, true);
    }
    return EINVAL;
}

static void tell(struct img_queue *q) {
    uint64_t one = 1;
    while (write(q->done_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue; /* a full counter tells as well */
}

static void *work(void *context) {
    struct img_queue *q = context;
    pthread_setname_np(pthread_self(), "disk");
    vm_loop_thread_starts(q->config.loop, VM_ROLE_DISK);
    pthread_mutex_lock(&q->lock);
    for (;;) {
        struct img_request *r = take(&q->todo);
        if (r) {
            pthread_mutex_unlock(&q->lock);
            r->error = perform(q->img, r);
            pthread_mutex_lock(&q->lock);
            put(&q->done, r);
            pthread_cond_signal(&q->ended);
            tell(q);
        } else if (q->stop) {
            break;
        } else {
            pthread_cond_wait(&q->wake, &q->lock);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static void give_to_worker(struct img_queue *q, struct img_request *r) {
    pthread_mutex_lock(&q->lock);
    put(&q->todo, r);
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
}

/* ---- the ring ---- */

/* What O_DIRECT takes; and writes of parts of blocks need their neighbours kept out, which the ring cannot. */
static bool fits_alignment(const struct img_file *file, const struct img_request *r, uint64_t offset) {
    uint64_t bits = offset;
    if (file->alignment == 1) return true;
    if (file->alignment > 512 && r->op == IMG_WRITE) return false;
    for (int i = 0; i < r->n_iov; i++) bits |= (uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len;
    return bits % file->alignment == 0;
}

static bool put_in_ring(struct img_queue *q, struct img_request *r, int fd, uint64_t offset) {
    struct io_uring_sqe *sqe = q->n_in_ring < IMG_RING_ENTRIES ? io_uring_get_sqe(&q->ring) : NULL;
    if (!sqe) return false;
    if (r->op == IMG_READ)
        io_uring_prep_readv(sqe, fd, r->iov, (unsigned)r->n_iov, offset);
    else if (r->op == IMG_WRITE)
        io_uring_prep_writev(sqe, fd, r->iov, (unsigned)r->n_iov, offset);
    else
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, r);
    q->n_in_ring++;
    q->n_unsubmitted++;
    return true;
}

static bool try_flush(struct img_queue *q, struct img_request *r) {
    struct img_file *file;
    if (q->img->readonly || !q->img->driver->flush_is_sync(q->img, &file)) return false;
    return !file->throw_away && file->fd >= 0 && put_in_ring(q, r, file->fd, 0);
}

static bool try_ring(struct img_queue *q, struct img_request *r) {
    struct img_piece piece;
    struct img *img = q->img;
    r->borrowed = false;
    if (!q->has_ring) return false;
    if (r->op == IMG_FLUSH) return try_flush(q, r);
    if (r->op > IMG_WRITE || !r->n_bytes) return false;
    if (r->n_bytes > INT32_MAX || r->offset > img->size || r->n_bytes > img->size - r->offset) return false;
    if (r->op == IMG_WRITE && img->readonly) return false;
    if (!img->driver->borrow(img, r->op == IMG_WRITE, r->offset, r->n_bytes, &piece)) return false;
    if (piece.file->fd >= 0 && fits_alignment(piece.file, r, piece.offset) &&
        put_in_ring(q, r, piece.file->fd, piece.offset)) {
        r->borrowed = true;
        return true;
    }
    img->driver->release(img);
    return false;
}

/* ---- ends ---- */

static void finish(struct img_queue *q, struct img_request *r) {
    struct sb_request asked = ask_for(q, r);
    q->n_under_way--;
    sb_answer(q->config.sandbox, &asked, r->error, r->op == IMG_FLUSH ? SB_ABSENT : r->n_bytes);
    r->done(r, r->error);
}

/* A request that the ring did in part, or would not do, is done again by a worker: whole. */
static bool came_out(struct img_queue *q, struct img_request *r, int result) {
    if (r->borrowed) q->img->driver->release(q->img);
    r->borrowed = false;
    if (r->op == IMG_FLUSH ? result == 0 : result >= 0 && (uint64_t)result == r->n_bytes) {
        r->error = 0;
        return true;
    }
    give_to_worker(q, r);
    return false;
}

static unsigned reap_ring(struct img_queue *q) {
    struct io_uring_cqe *cqe;
    unsigned n = 0;
    while (q->has_ring && io_uring_peek_cqe(&q->ring, &cqe) == 0) {
        struct img_request *r = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&q->ring, cqe);
        q->n_in_ring--;
        if (!came_out(q, r, result)) continue;
        finish(q, r);
        n++;
    }
    return n;
}

static unsigned reap_workers(struct img_queue *q) {
    unsigned n = 0;
    for (;; n++) {
        pthread_mutex_lock(&q->lock);
        struct img_request *r = take(&q->done);
        pthread_mutex_unlock(&q->lock);
        if (!r) return n;
        finish(q, r);
    }
}

static void reap(struct img_queue *q) {
    unsigned n = reap_ring(q) + reap_workers(q);
    if (n && q->config.batch_done) q->config.batch_done(q->config.context);
    img_submit_batch(q); /* what `done` submitted, and what the kernel had no room for */
}

static void on_done(void *context, uint32_t events) {
    struct img_queue *q = context;
    uint64_t n;
    (void)events;
    while (read(q->done_fd, &n, sizeof n) < 0 && errno == EINTR) continue;
    reap(q);
}

void img_submit_batch(struct img_queue *q) {
    if (!q->n_unsubmitted) return;
    int n = io_uring_submit(&q->ring);
    if (n > 0) q->n_unsubmitted -= (unsigned)n < q->n_unsubmitted ? (unsigned)n : q->n_unsubmitted;
    /* EAGAIN, EBUSY: again after the next end. Without one to come we would wait for ever. */
    if (n <= 0 && q->n_in_ring == q->n_unsubmitted) tell(q);
}

void img_submit(struct img_queue *q, struct img_request *r) {
    struct sb_request asked = ask_for(q, r);
    q->n_under_way++;
    r->error = sb_ask(q->config.sandbox, &asked);
    if (r->error) { /* its end comes from the loop, like any other */
        pthread_mutex_lock(&q->lock);
        put(&q->done, r);
        pthread_mutex_unlock(&q->lock);
        tell(q);
    } else if (!try_ring(q, r)) {
        give_to_worker(q, r);
    }
}

static void wait_for_worker(struct img_queue *q) {
    pthread_mutex_lock(&q->lock);
    while (!q->done.first) pthread_cond_wait(&q->ended, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

void img_queue_drain(struct img_queue *q) {
    while (q->n_under_way) {
        struct io_uring_cqe *cqe;
        img_submit_batch(q);
        if (q->n_in_ring)
            io_uring_wait_cqe(&q->ring, &cqe);
        else
            wait_for_worker(q);
        reap(q);
    }
}

/* ---- a queue's life ---- */

static void open_ring(struct img_queue *q) {
    if (q->config.no_uring || io_uring_queue_init(IMG_RING_ENTRIES, &q->ring, 0)) return;
    if (io_uring_register_eventfd(&q->ring, q->done_fd) == 0)
        q->has_ring = true;
    else
        io_uring_queue_exit(&q->ring);
}

static int start_workers(struct img_queue *q) {
    unsigned wanted = q->config.n_workers ? q->config.n_workers : IMG_WORKERS_DEFAULT;
    pthread_attr_t attributes;
    if (wanted > IMG_WORKERS_MAX) wanted = IMG_WORKERS_MAX;
    int error = pthread_attr_init(&attributes);
    if (error) return error;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (; !error && q->n_workers < wanted; q->n_workers += !error)
        error = pthread_create(&q->workers[q->n_workers], &attributes, work, q);
    pthread_attr_destroy(&attributes);
    return q->n_workers ? 0 : error; /* fewer do as well */
}

enum atoll_status img_queue_new(const struct img_queue_config *config, struct img_queue **out,
                                struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct img_queue *q = atoll_new(alloc, 1, sizeof *q);
    if (!q) return img_fail_nomem(err);
    q->config = *config;
    q->alloc = alloc;
    q->img = config->img;
    if (!q->config.name) q->config.name = q->img->name;
    pthread_mutex_init(&q->lock, NULL); /* default attributes: cannot fail on Linux */
    pthread_cond_init(&q->wake, NULL);
    pthread_cond_init(&q->ended, NULL);
    q->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = q->done_fd < 0 ? errno : 0;
    if (!error) error = vm_loop_watch(config->loop, q->done_fd, EPOLLIN, on_done, q, &q->watch);
    if (!error) open_ring(q);
    if (!error) error = start_workers(q);
    if (error) {
        img_queue_free(q);
        return img_fail_io(NULL, error, "cannot start the disk's threads", err);
    }
    *out = q;
    return ATOLL_OK;
}

void img_queue_free(struct img_queue *q) {
    if (!q) return;
    img_queue_drain(q);
    vm_watch_free(q->watch);
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_broadcast(&q->wake);
    pthread_mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->n_workers; i++) pthread_join(q->workers[i], NULL);
    if (q->has_ring) io_uring_queue_exit(&q->ring);
    if (q->done_fd >= 0) close(q->done_fd);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->wake);
    pthread_cond_destroy(&q->ended);
    atoll_free(q->alloc, q, sizeof *q);
}

bool img_queue_uses_uring(const struct img_queue *q) { return q->has_ring; }
