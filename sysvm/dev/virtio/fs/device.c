/* sysvm/dev/virtio/fs/device.c: queues and workers of virtio-fs (fs.h). What a message means is dispatch.c's.
 *
 * A job goes round: free -> (popped from a ring) waiting -> (a worker serves it) done -> (pushed) free. The lists have
 * a lock of their own; a job in the hands of a worker is in none. Each job holds the session it was popped in: a reset
 * starts a new one, and the old goes when its last job is done. Sessions are freed by workers: closing what a guest
 * held takes its time. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sysvm/dev/virtio/fs/fs.h"

#define N_WORKERS  4
#define N_JOBS     16 /* popped at once: enough to keep the workers busy */
#define N_QUEUES   2  /* forgets and such, requests */
#define QUEUE_SIZE 256
#define TAG_BYTES  36
#define STACK_SIZE (256 * 1024)

_Static_assert(VQ_MAX_SEGMENTS <= FUSE_MAX_IOV, "a chain is a message");

struct session {
    struct fuse_session *fuse;
    struct session *next; /* of the dying */
    unsigned n_users;     /* the device while it is the current one, and jobs */
};

struct job {
    struct job *next;
    struct session *session;
    unsigned queue;
    size_t n_written;
    struct vq_chain chain;
};

struct list {
    struct job *first, **last;
};

struct worker {
    struct vfs *v;
    struct fuse_scratch *scratch;
    pthread_t thread;
};

struct vfs {
    const struct atoll_alloc *alloc;
    struct fuse_config fuse;
    uint8_t config[TAG_BYTES + 4];
    struct vm_loop *loop;
    struct vm_watch *watch;
    struct virtio_device *vdev; /* NULL while it does not run */
    struct session *current;    /* likewise */
    int done_fd;                /* readable while there are done jobs */
    pthread_mutex_t lock;       /* guards what follows, and the sessions' users */
    pthread_cond_t work;
    struct list waiting, done;
    struct job *free;
    struct session *dying;
    bool stops;
    struct worker workers[N_WORKERS];
    unsigned n_workers;
    struct job jobs[N_JOBS];
};

/* ---- lists and sessions: under the lock ---- */

static void list_init(struct list *l) { *l = (struct list){NULL, &l->first}; }

static void list_add(struct list *l, struct job *job) {
    job->next = NULL;
    *l->last = job;
    l->last = &job->next;
}

static struct job *list_take(struct list *l) {
    struct job *job = l->first;
    if (!job) return NULL;
    l->first = job->next;
    if (!l->first) l->last = &l->first;
    return job;
}

static void free_job(struct vfs *v, struct job *job) {
    job->next = v->free;
    v->free = job;
}

static void leave(struct vfs *v, struct session *s) {
    if (!s || --s->n_users) return;
    s->next = v->dying;
    v->dying = s;
    pthread_cond_signal(&v->work);
}

static struct session *take_dying(struct vfs *v) {
    struct session *s = v->dying;
    if (s) v->dying = s->next;
    return s;
}

static void session_free(struct vfs *v, struct session *s) {
    fuse_session_free(s->fuse);
    atoll_free(v->alloc, s, sizeof *s);
}

static struct session *session_new(struct vfs *v) {
    struct session *s = atoll_new(v->alloc, 1, sizeof *s);
    if (s && fuse_session_new(&v->fuse, &s->fuse, NULL) == ATOLL_OK) {
        s->n_users = 1;
        return s;
    }
    atoll_free(v->alloc, s, sizeof *s);
    return NULL;
}

/* ---- workers ---- */

static void serve(struct vfs *v, struct worker *w, struct job *job) {
    const struct vq_chain *c = &job->chain;
    uint64_t one = 1;
    pthread_mutex_unlock(&v->lock);
    job->n_written = fuse_serve(job->session->fuse, w->scratch, c->iov, c->n_out, c->iov + c->n_out, c->n_in);
    pthread_mutex_lock(&v->lock);
    leave(v, job->session);
    list_add(&v->done, job);
    ssize_t ignored = write(v->done_fd, &one, sizeof one); /* never full: it is read to 0 */
    (void)ignored;
}

static void *work(void *context) {
    struct worker *w = context;
    struct vfs *v = w->v;
    pthread_setname_np(pthread_self(), "folder");
    vm_loop_thread_starts(v->loop, VM_ROLE_FOLDER);
    pthread_mutex_lock(&v->lock);
    while (!v->stops) {
        struct job *job = list_take(&v->waiting);
        struct session *session = job ? NULL : take_dying(v);
        if (job) {
            serve(v, w, job);
        } else if (session) {
            pthread_mutex_unlock(&v->lock);
            session_free(v, session);
            pthread_mutex_lock(&v->lock);
        } else {
            pthread_cond_wait(&v->work, &v->lock);
        }
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

/* ---- queues: under the machine lock ---- */

static void fetch(struct vfs *v) {
    pthread_mutex_lock(&v->lock);
    for (unsigned queue = 0; v->current && queue < N_QUEUES; queue++) {
        struct job *job;
        while ((job = v->free) && vq_pop(virtio_queue(v->vdev, queue), &job->chain) == VQ_CHAIN) {
            v->free = job->next;
            job->queue = queue;
            job->session = v->current;
            v->current->n_users++;
            list_add(&v->waiting, job);
            pthread_cond_signal(&v->work);
        }
    }
    pthread_mutex_unlock(&v->lock);
}

/* Jobs of a time before the last reset are dropped by the queue. */
static void push_done(void *context, uint32_t events) {
    struct vfs *v = context;
    struct job *job;
    uint64_t count;
    bool pushed[N_QUEUES] = {false};
    (void)events;
    ssize_t ignored = read(v->done_fd, &count, sizeof count);
    (void)ignored;
    pthread_mutex_lock(&v->lock);
    while ((job = list_take(&v->done))) {
        if (v->vdev) vq_push(virtio_queue(v->vdev, job->queue), &job->chain, (uint32_t)job->n_written);
        pushed[job->queue] = true;
        free_job(v, job);
    }
    pthread_mutex_unlock(&v->lock);
    for (unsigned queue = 0; v->vdev && queue < N_QUEUES; queue++)
        if (pushed[queue]) vq_interrupt(virtio_queue(v->vdev, queue));
    fetch(v);
}

static void vfs_start(void *dev, struct virtio_device *vdev, uint64_t features) {
    struct vfs *v = dev;
    (void)features;
    v->vdev = vdev;
    v->current = session_new(v);
    if (!v->current) vq_broken(virtio_queue(vdev, 0)); /* out of memory: the driver may try again */
}

static void vfs_notify(void *dev, unsigned queue) {
    (void)queue;
    fetch(dev);
}

static void vfs_reset(void *dev) {
    struct vfs *v = dev;
    struct job *job;
    pthread_mutex_lock(&v->lock);
    while ((job = list_take(&v->waiting))) {
        leave(v, job->session);
        free_job(v, job);
    }
    leave(v, v->current);
    pthread_mutex_unlock(&v->lock);
    v->current = NULL;
    v->vdev = NULL;
}

static uint64_t vfs_features(void *dev) {
    (void)dev;
    return 0;
}

static void vfs_config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    memcpy(data, ((struct vfs *)dev)->config + offset, n);
}

/* ---- life ---- */

static void vfs_free(void *dev) {
    struct vfs *v = dev;
    struct session *s;
    if (v->current) vfs_reset(v);
    pthread_mutex_lock(&v->lock);
    v->stops = true;
    pthread_cond_broadcast(&v->work);
    pthread_mutex_unlock(&v->lock);
    for (unsigned i = 0; i < v->n_workers; i++) pthread_join(v->workers[i].thread, NULL);
    while ((s = take_dying(v))) session_free(v, s);
    for (unsigned i = 0; i < N_WORKERS; i++) fuse_scratch_free(v->alloc, v->workers[i].scratch);
    vm_watch_free(v->watch);
    if (v->done_fd >= 0) close(v->done_fd);
    pthread_cond_destroy(&v->work);
    pthread_mutex_destroy(&v->lock);
    atoll_free(v->alloc, v, sizeof *v);
}

static const struct virtio_ops ops = {.name = "virtio-fs",
                                      .id = VIRTIO_FS,
                                      .n_queues = N_QUEUES,
                                      .queue_size_max = QUEUE_SIZE,
                                      .config_bytes = TAG_BYTES + 4,
                                      .features = vfs_features,
                                      .config_read = vfs_config_read,
                                      .start = vfs_start,
                                      .notify = vfs_notify,
                                      .reset = vfs_reset,
                                      .free = vfs_free};

static int start_worker(struct worker *w, struct vfs *v) {
    pthread_attr_t attributes;
    w->v = v;
    w->scratch = fuse_scratch_new(v->alloc);
    if (!w->scratch) return ENOMEM;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    int error = pthread_create(&w->thread, &attributes, work, w);
    pthread_attr_destroy(&attributes);
    if (!error) v->n_workers++;
    return error;
}

static int start_all(struct vfs *v) {
    v->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = v->done_fd < 0 ? errno : vm_loop_watch(v->loop, v->done_fd, EPOLLIN, push_done, v, &v->watch);
    for (unsigned i = 0; !error && i < N_WORKERS; i++) error = start_worker(&v->workers[i], v);
    return error;
}

enum atoll_status vfs_new(const struct vfs_config *config, const struct virtio_ops **out_ops, void **out_dev,
                          struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    size_t tag_size = strlen(config->tag);
    if (!tag_size || tag_size > TAG_BYTES)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the tag '%s' is not 1 to %d bytes long",
                          config->tag, TAG_BYTES);
    struct vfs *v = atoll_new(alloc, 1, sizeof *v);
    if (!v) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    v->alloc = alloc;
    v->loop = config->loop;
    v->fuse = config->fuse;
    v->fuse.alloc = alloc;
    memcpy(v->config, config->tag, tag_size);
    v->config[TAG_BYTES] = N_QUEUES - 1; /* num_request_queues, little-endian */
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->work, NULL);
    list_init(&v->waiting);
    list_init(&v->done);
    for (unsigned i = 0; i < N_JOBS; i++) free_job(v, &v->jobs[i]);
    int error = start_all(v);
    if (error) {
        vfs_free(v);
        if (error == ENOMEM) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "cannot start virtio-fs '%s': %s", config->tag,
                   strerror(error));
        if (err) err->system_errno = error;
        return ATOLL_E_IO;
    }
    *out_ops = &ops;
    *out_dev = v;
    return ATOLL_OK;
}
