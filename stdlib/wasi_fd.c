/* stdlib/wasi_fd.c: functions on open descriptors. */
#include "stdlib/wasi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

/* ---- shared translations ---- */

static const struct {
    uint16_t wasi;
    unsigned sandbox;
} status_flags[] = {
    {1, SB_OPEN_APPEND}, {2, SB_OPEN_DSYNC}, {4, SB_OPEN_NONBLOCK}, {8, SB_OPEN_RSYNC}, {16, SB_OPEN_SYNC}};

unsigned wasi_status_flags(uint32_t fdflags) {
    unsigned out = 0;
    for (size_t i = 0; i < sizeof status_flags / sizeof *status_flags; i++)
        if (fdflags & status_flags[i].wasi) out |= status_flags[i].sandbox;
    return out;
}

static uint16_t fdflags_of(unsigned flags) {
    uint16_t out = 0;
    for (size_t i = 0; i < sizeof status_flags / sizeof *status_flags; i++)
        if (flags & status_flags[i].sandbox) out |= status_flags[i].wasi;
    return out;
}

static uint64_t nanoseconds(struct timespec t) {
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool wasi_put_filestat(const struct wasi_call *c, uint32_t at, const struct stat *st) {
    uint8_t out[64] = {0};
    uint64_t dev = st->st_dev, ino = st->st_ino, nlink = st->st_nlink, size = (uint64_t)st->st_size;
    uint64_t times[3] = {nanoseconds(st->st_atim), nanoseconds(st->st_mtim), nanoseconds(st->st_ctim)};
    memcpy(out, &dev, 8);
    memcpy(out + 8, &ino, 8);
    out[16] = wasi_filetype(sb_type_of_mode(st->st_mode));
    /* wasi_unstable counts links in 32 bits right behind the type */
    size_t behind = c->unstable ? 24 : 32;
    memcpy(out + (c->unstable ? 20 : 24), &nlink, c->unstable ? 4 : 8);
    memcpy(out + behind, &size, 8);
    memcpy(out + behind + 8, times, sizeof times);
    return wasi_put(c, at, out, behind + 32);
}

bool wasi_times(uint64_t access_ns, uint64_t modify_ns, uint32_t flags, struct timespec out[2]) {
    enum { GIVEN = 1, NOW = 2 };
    const uint64_t given[2] = {access_ns, modify_ns};
    for (unsigned i = 0; i < 2; i++, flags >>= 2) {
        if ((flags & (GIVEN | NOW)) == (GIVEN | NOW)) return false;
        out[i].tv_sec = (time_t)(given[i] / 1000000000u);
        out[i].tv_nsec = flags & GIVEN ? (long)(given[i] % 1000000000u)
                         : flags & NOW ? UTIME_NOW
                                       : UTIME_OMIT;
    }
    return true;
}

uint32_t wasi_iovecs(const struct wasi_call *c, uint32_t at, uint32_t count, struct iovec out[SB_MAX_IOV],
                     int *out_n) {
    uint32_t pairs[SB_MAX_IOV][2];
    if (!wasi_at(c, at, (uint64_t)count * 8)) return WASI_EFAULT;
    uint32_t n = count < SB_MAX_IOV ? count : SB_MAX_IOV;
    wasi_take(c, at, pairs, n * sizeof *pairs);
    for (uint32_t i = 0; i < n; i++) {
        void *p = wasi_at(c, pairs[i][0], pairs[i][1]);
        if (!p) return WASI_EFAULT;
        out[i] = (struct iovec){p, pairs[i][1]};
    }
    *out_n = (int)n;
    return WASI_OK;
}

/* ---- reading and writing ---- */

typedef int transfer_fn(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                        uint64_t *out_n);

static uint32_t transfer(struct wasi_call *c, uint64_t rights, transfer_fn *fn, uint64_t offset,
                         uint32_t out) {
    struct iovec iov[SB_MAX_IOV];
    uint64_t done = 0;
    uint32_t error;
    int n;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), rights, &error);
    if (!f) return error;
    if (!wasi_at(c, out, 4)) return WASI_EFAULT; /* before bytes are consumed that could not be reported */
    error = wasi_iovecs(c, wasi_u32(c, 1), wasi_u32(c, 2), iov, &n);
    if (!error) error = wasi_errno(fn(f->file, iov, n, offset, &done));
    if (error) return error;
    return wasi_put_u32(c, out, done > UINT32_MAX ? UINT32_MAX : (uint32_t)done) ? WASI_OK : WASI_EFAULT;
}

uint32_t wasi_fn_fd_read(struct wasi_call *c) {
    return transfer(c, RIGHT(FD_READ), sb_file_read, SB_ABSENT, wasi_u32(c, 3));
}
uint32_t wasi_fn_fd_write(struct wasi_call *c) {
    return transfer(c, RIGHT(FD_WRITE), sb_file_write, SB_ABSENT, wasi_u32(c, 3));
}
static uint32_t positioned(struct wasi_call *c, uint64_t right, transfer_fn *fn) {
    if (wasi_u64(c, 3) > INT64_MAX) return WASI_EINVAL;
    return transfer(c, right | RIGHT(FD_SEEK), fn, wasi_u64(c, 3), wasi_u32(c, 4));
}
uint32_t wasi_fn_fd_pread(struct wasi_call *c) { return positioned(c, RIGHT(FD_READ), sb_file_read); }
uint32_t wasi_fn_fd_pwrite(struct wasi_call *c) { return positioned(c, RIGHT(FD_WRITE), sb_file_write); }

/* ---- position ---- */

static uint32_t seek(struct wasi_call *c, uint64_t rights, int64_t offset, int whence, uint32_t out) {
    uint64_t position = 0;
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), rights, &error);
    if (!f) return error;
    if (!wasi_at(c, out, 8)) return WASI_EFAULT;
    error = wasi_errno(sb_file_seek(f->file, offset, whence, &position));
    if (!error) wasi_put_u64(c, out, position);
    return error;
}

uint32_t wasi_fn_fd_seek(struct wasi_call *c) {
    static const uint8_t orders[2][3] = {{SEEK_SET, SEEK_CUR, SEEK_END}, {SEEK_CUR, SEEK_END, SEEK_SET}};
    uint32_t whence = wasi_u32(c, 2);
    if (whence > 2) return WASI_EINVAL;
    int host = orders[c->unstable][whence];
    int64_t offset = (int64_t)wasi_u64(c, 1);
    uint64_t rights = host == SEEK_CUR && !offset ? RIGHT(FD_TELL) : RIGHT(FD_SEEK);
    return seek(c, rights, offset, host, wasi_u32(c, 3));
}
uint32_t wasi_fn_fd_tell(struct wasi_call *c) { return seek(c, RIGHT(FD_TELL), 0, SEEK_CUR, wasi_u32(c, 1)); }

/* ---- state of a descriptor ---- */

uint32_t wasi_fn_fd_fdstat_get(struct wasi_call *c) {
    uint8_t out[24] = {0};
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), 0, &error);
    if (!f) return error;
    uint16_t flags = fdflags_of(sb_file_flags(f->file));
    out[0] = wasi_filetype(sb_file_type(f->file));
    memcpy(out + 2, &flags, 2);
    memcpy(out + 8, &f->base, 8);
    memcpy(out + 16, &f->inheriting, 8);
    return wasi_put(c, wasi_u32(c, 1), out, sizeof out) ? WASI_OK : WASI_EFAULT;
}

uint32_t wasi_fn_fd_fdstat_set_flags(struct wasi_call *c) {
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_FDSTAT_SET_FLAGS), &error);
    if (!f) return error;
    if (wasi_u32(c, 1) & ~31u) return WASI_EINVAL;
    return wasi_errno(sb_file_set_flags(f->file, wasi_status_flags(wasi_u32(c, 1))));
}

uint32_t wasi_fn_fd_fdstat_set_rights(struct wasi_call *c) {
    return wasi_fd_lose_rights(c->wasi, wasi_u32(c, 0), wasi_u64(c, 1), wasi_u64(c, 2));
}

uint32_t wasi_fn_fd_filestat_get(struct wasi_call *c) {
    struct stat st;
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_FILESTAT_GET), &error);
    if (!f) return error;
    error = wasi_errno(sb_file_stat(f->file, &st));
    return error ? error : wasi_put_filestat(c, wasi_u32(c, 1), &st) ? WASI_OK : WASI_EFAULT;
}

uint32_t wasi_fn_fd_filestat_set_size(struct wasi_call *c) {
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_FILESTAT_SET_SIZE), &error);
    if (!f) return error;
    return wasi_u64(c, 1) > INT64_MAX ? WASI_EINVAL : wasi_errno(sb_file_truncate(f->file, wasi_u64(c, 1)));
}

uint32_t wasi_fn_fd_filestat_set_times(struct wasi_call *c) {
    struct timespec times[2];
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_FILESTAT_SET_TIMES), &error);
    if (!f) return error;
    if (!wasi_times(wasi_u64(c, 1), wasi_u64(c, 2), wasi_u32(c, 3), times)) return WASI_EINVAL;
    return wasi_errno(sb_file_set_times(f->file, times));
}

uint32_t wasi_fn_fd_advise(struct wasi_call *c) {
    static const int advices[] = {POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                                  POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,   POSIX_FADV_NOREUSE};
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_ADVISE), &error);
    if (!f) return error;
    if (wasi_u32(c, 3) >= sizeof advices / sizeof *advices) return WASI_EINVAL;
    if (wasi_u64(c, 1) > INT64_MAX || wasi_u64(c, 2) > INT64_MAX) return WASI_EINVAL;
    return wasi_errno(sb_file_advise(f->file, wasi_u64(c, 1), wasi_u64(c, 2), advices[wasi_u32(c, 3)]));
}

uint32_t wasi_fn_fd_allocate(struct wasi_call *c) {
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_ALLOCATE), &error);
    if (!f) return error;
    if (wasi_u64(c, 1) > INT64_MAX || wasi_u64(c, 2) > INT64_MAX) return WASI_EINVAL;
    return wasi_errno(sb_file_allocate(f->file, 0, wasi_u64(c, 1), wasi_u64(c, 2)));
}

static uint32_t sync_(struct wasi_call *c, uint64_t right, bool data_only) {
    uint32_t error;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), right, &error);
    return f ? wasi_errno(sb_file_sync(f->file, data_only)) : error;
}
uint32_t wasi_fn_fd_sync(struct wasi_call *c) { return sync_(c, RIGHT(FD_SYNC), false); }
uint32_t wasi_fn_fd_datasync(struct wasi_call *c) { return sync_(c, RIGHT(FD_DATASYNC), true); }

/* ---- the descriptor table ---- */

uint32_t wasi_fn_fd_close(struct wasi_call *c) { return wasi_fd_close(c->wasi, wasi_u32(c, 0)); }
uint32_t wasi_fn_fd_renumber(struct wasi_call *c) {
    return wasi_fd_move(c->wasi, wasi_u32(c, 0), wasi_u32(c, 1));
}

static const struct wasi_fd *preopen(struct wasi_call *c, uint32_t *out_error) {
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), 0, out_error);
    if (f && !f->preopen) *out_error = WASI_EBADF; /* what libc takes for the end of the list */
    return f && f->preopen ? f : NULL;
}

uint32_t wasi_fn_fd_prestat_get(struct wasi_call *c) {
    uint32_t error;
    const struct wasi_fd *f = preopen(c, &error);
    if (!f) return error;
    uint32_t out[2] = {0, (uint32_t)strlen(f->preopen)};
    return wasi_put(c, wasi_u32(c, 1), out, sizeof out) ? WASI_OK : WASI_EFAULT;
}

uint32_t wasi_fn_fd_prestat_dir_name(struct wasi_call *c) {
    uint32_t error;
    const struct wasi_fd *f = preopen(c, &error);
    if (!f) return error;
    size_t size = strlen(f->preopen);
    if (wasi_u32(c, 2) < size) return WASI_ENAMETOOLONG;
    return wasi_put(c, wasi_u32(c, 1), f->preopen, size) ? WASI_OK : WASI_EFAULT;
}

/* ---- directories ---- */

struct kernel_entry { /* linux_dirent64, getdents(2) */
    uint64_t ino;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

static uint8_t entry_type(uint8_t type) {
    switch (type) {
    case DT_DIR: return 3;
    case DT_REG: return 4;
    case DT_LNK: return 7;
    case DT_CHR: return 2;
    case DT_BLK: return 1;
    case DT_SOCK: return 6;
    default: return 0;
    }
}

/* Appends one entry, cut where the program's buffer ends: by that the program sees that more is to come. */
static uint32_t put_entry(uint8_t *out, uint32_t room, const struct kernel_entry *e) {
    uint8_t head[24] = {0};
    uint32_t name_size = (uint32_t)strlen(e->name);
    memcpy(head, &e->next, 8);
    memcpy(head + 8, &e->ino, 8);
    memcpy(head + 16, &name_size, 4);
    head[20] = entry_type(e->type);
    uint32_t n = room < sizeof head ? room : (uint32_t)sizeof head;
    memcpy(out, head, n);
    uint32_t m = room - n < name_size ? room - n : name_size;
    memcpy(out + n, e->name, m);
    return n + m;
}

uint32_t wasi_fn_fd_readdir(struct wasi_call *c) {
    _Alignas(8) char entries[8192];
    uint32_t error, at = wasi_u32(c, 1), room = wasi_u32(c, 2), used = 0;
    uint64_t cookie = wasi_u64(c, 3);
    size_t n = 1;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_READDIR), &error);
    if (!f) return error;
    if (!wasi_at(c, at, room) || !wasi_at(c, wasi_u32(c, 4), 4)) return WASI_EFAULT;
    uint8_t *out = wasi_at(c, at, room);
    while (used < room && n) {
        error = wasi_errno(sb_file_list_numbered(f->file, cookie, entries, sizeof entries, &n));
        if (error) return error;
        for (size_t i = 0; i < n && used < room;) {
            const struct kernel_entry *e = (const void *)(entries + i);
            used += put_entry(out + used, room - used, e);
            cookie = (uint64_t)e->next;
            i += e->size;
        }
    }
    return wasi_put_u32(c, wasi_u32(c, 4), used) ? WASI_OK : WASI_EFAULT;
}
