/* stdlib/wasi_table.c: the descriptor table of a program. Its threads use it at once: an entry is looked up
 * and its file referenced under the lock, and whatever may wait, closing among it, is done behind. */
#include "stdlib/wasi.h"

static struct wasi_fd *entry_at(const struct wasi *w, uint32_t fd) {
    return fd < w->n_fds && w->fds[fd].file ? &w->fds[fd] : NULL;
}

uint32_t wasi_fd_take(struct wasi *w, uint32_t fd, uint64_t rights, struct wasi_fd *out) {
    pthread_mutex_lock(&w->lock);
    const struct wasi_fd *f = entry_at(w, fd);
    uint32_t error = !f ? WASI_EBADF : (f->base & rights) == rights ? WASI_OK : WASI_ENOTCAPABLE;
    if (!error) {
        *out = *f;
        sb_file_ref(f->file);
    }
    pthread_mutex_unlock(&w->lock);
    return error;
}

const struct wasi_fd *wasi_fd_get(struct wasi_call *c, uint32_t fd, uint64_t rights, uint32_t *out_errno) {
    struct wasi_fd *f = &c->held[c->n_held];
    *out_errno = wasi_fd_take(c->wasi, fd, rights, f);
    if (*out_errno) return NULL;
    c->n_held++;
    return f;
}

static bool put_at(struct wasi *w, size_t fd, struct wasi_fd entry) {
    void *p = w->fds;
    if (atoll_grow(w->alloc, &p, &w->fds_capacity, fd + 1, sizeof *w->fds)) return false;
    w->fds = p;
    if (fd == w->n_fds) w->n_fds++;
    w->fds[fd] = entry;
    return true;
}

uint32_t wasi_fd_add(struct wasi *w, struct sb_file *file, uint64_t base, uint64_t inheriting,
                     const char *preopen, uint32_t *out_fd) {
    size_t fd = 0;
    pthread_mutex_lock(&w->lock);
    while (fd < w->n_fds && w->fds[fd].file) fd++;
    bool done = put_at(
        w, fd, (struct wasi_fd){.file = file, .base = base, .inheriting = inheriting, .preopen = preopen});
    pthread_mutex_unlock(&w->lock);
    *out_fd = (uint32_t)fd;
    return done ? WASI_OK : WASI_ENOMEM;
}

bool wasi_fd_append(struct wasi *w, struct wasi_fd entry) { return put_at(w, w->n_fds, entry); }

uint32_t wasi_fd_close(struct wasi *w, uint32_t fd) {
    struct wasi_fd closed = {0};
    pthread_mutex_lock(&w->lock);
    struct wasi_fd *f = entry_at(w, fd);
    if (f) {
        closed = *f;
        *f = (struct wasi_fd){0};
    }
    pthread_mutex_unlock(&w->lock);
    if (!closed.file) return WASI_EBADF;
    sb_file_unref(closed.file);
    return WASI_OK;
}

/* `to` has to be open: the table never grows by a number the program names. */
uint32_t wasi_fd_move(struct wasi *w, uint32_t from, uint32_t to) {
    struct wasi_fd replaced = {0};
    pthread_mutex_lock(&w->lock);
    struct wasi_fd *source = entry_at(w, from), *target = entry_at(w, to);
    if (source && target && source != target) {
        replaced = *target;
        *target = *source;
        *source = (struct wasi_fd){0};
    }
    pthread_mutex_unlock(&w->lock);
    if (replaced.file) sb_file_unref(replaced.file);
    return source && target ? WASI_OK : WASI_EBADF;
}

uint32_t wasi_fd_lose_rights(struct wasi *w, uint32_t fd, uint64_t base, uint64_t inheriting) {
    pthread_mutex_lock(&w->lock);
    struct wasi_fd *f = entry_at(w, fd);
    uint32_t error = !f                                               ? WASI_EBADF
                     : base & ~f->base || inheriting & ~f->inheriting ? WASI_ENOTCAPABLE
                                                                      : WASI_OK;
    if (!error) {
        f->base = base;
        f->inheriting = inheriting;
    }
    pthread_mutex_unlock(&w->lock);
    return error;
}

void wasi_fds_free(struct wasi *w) {
    for (size_t i = 0; i < w->n_fds; i++)
        if (w->fds[i].file) sb_file_unref(w->fds[i].file);
    atoll_free(w->alloc, w->fds, w->fds_capacity * sizeof *w->fds);
}
