/* sandbox/file.c: open files: how they come to be, what is done with them. Paths are path.c's and
 * resolve.c's. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "sandbox/internal.h"

/* ---- life ---- */

enum sb_type sb_type_of_mode(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return SB_TYPE_REGULAR;
    case S_IFDIR: return SB_TYPE_DIRECTORY;
    case S_IFLNK: return SB_TYPE_SYMLINK;
    case S_IFCHR: return SB_TYPE_CHARACTER;
    case S_IFBLK: return SB_TYPE_BLOCK;
    case S_IFIFO: return SB_TYPE_FIFO;
    case S_IFSOCK: return SB_TYPE_SOCKET_STREAM;
    default: return SB_TYPE_UNKNOWN;
    }
}

static enum sb_type type_of_fd(int fd, mode_t mode) {
    int kind;
    socklen_t size = sizeof kind;
    enum sb_type type = sb_type_of_mode(mode);
    if (type == SB_TYPE_SOCKET_STREAM && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &size) &&
        kind == SOCK_DGRAM)
        return SB_TYPE_SOCKET_DATAGRAM;
    return type;
}

static int new_file(struct sandbox *sb, int fd, bool own, const char *name, const char *sub_name,
                    unsigned flags, struct sb_file **out) {
    struct stat st;
    if (fstat(fd, &st)) return errno;
    if (atomic_fetch_add(&sb->n_files, 1) >= sb->config.max_fds) {
        sb->n_files--;
        return EMFILE;
    }
    size_t size = strlen(name), sub_size = sub_name ? strlen(sub_name) + 1 : 0;
    /* The start of the name is dropped when it grew long: "." can be opened from "." for ever. */
    if (sub_name && size > PATH_MAX) size = 0;
    struct sb_file *file = atoll_new(sb->alloc, 1, sizeof *file + size + sub_size + 1);
    if (!file) {
        sb->n_files--;
        return ENOMEM;
    }
    *file = (struct sb_file){
        .sb = sb, .refs = 1, .fd = fd, .flags = flags, .own = own, .name_size = size + sub_size};
    pthread_mutex_init(&file->turns[0], NULL);
    pthread_mutex_init(&file->turns[1], NULL);
    pthread_mutex_init(&file->lock, NULL);
    file->type = type_of_fd(fd, st.st_mode);
    memcpy(file->name, name, size);
    if (sub_name) {
        file->name[size] = '/';
        memcpy(file->name + size + 1, sub_name, sub_size - 1);
    }
    *out = file;
    return 0;
}

int sb_file_new(struct sandbox *sb, int fd, bool own, const char *name, const char *sub_name, unsigned flags,
                struct sb_file **out) {
    int error = new_file(sb, fd, own, name, sub_name, flags, out);
    if (error && own) close(fd);
    return error;
}

int sb_file_adopt(struct sandbox *sb, int fd, const char *name, unsigned flags, bool own,
                  struct sb_file **out) {
    return new_file(sb, fd, own, name, NULL, flags, out);
}

int sb_file_stream(struct sandbox *sb, const char *name, unsigned flags, sb_stream *stream, void *context,
                   struct sb_file **out) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int error = fd < 0 ? errno : sb_file_new(sb, fd, true, name, NULL, flags, out);
    if (error) return error;
    (*out)->type = SB_TYPE_UNKNOWN;
    (*out)->stream = stream;
    (*out)->stream_context = context;
    return 0;
}

void sb_file_ref(struct sb_file *file) { file->refs++; }

void sb_file_unref(struct sb_file *file) {
    if (atomic_fetch_sub(&file->refs, 1) != 1) return;
    struct sandbox *sb = file->sb;
    struct sb_request request = sb_request_file(SB_FS_CLOSE, file, SB_ABSENT, SB_ABSENT);
    int error = file->own && close(file->fd) ? errno : 0;
    sb_answer(sb, &request, error, SB_ABSENT);
    sb->n_files--;
    sb_places_free(file);
    pthread_mutex_destroy(&file->turns[0]);
    pthread_mutex_destroy(&file->turns[1]);
    pthread_mutex_destroy(&file->lock);
    atoll_free(sb->alloc, file, sizeof *file + file->name_size + 1);
}

enum sb_type sb_file_type(const struct sb_file *file) { return file->type; }
unsigned sb_file_flags(const struct sb_file *file) { return file->flags; }
const char *sb_file_name(const struct sb_file *file) { return file->name; }
bool sb_file_readonly(const struct sb_file *file) { return file->readonly; }
bool sb_file_is_terminal(const struct sb_file *file) { return isatty(file->fd); }
int sb_file_fd(const struct sb_file *file) { return file->fd; }

/* ---- opening ---- */

int sb_host_flags(unsigned flags) {
    static const struct {
        unsigned sandbox;
        int host;
    } map[] = {{SB_OPEN_CREATE, O_CREAT},        {SB_OPEN_EXCLUSIVE, O_EXCL},    {SB_OPEN_TRUNCATE, O_TRUNC},
               {SB_OPEN_DIRECTORY, O_DIRECTORY}, {SB_OPEN_NOFOLLOW, O_NOFOLLOW}, {SB_OPEN_APPEND, O_APPEND},
               {SB_OPEN_SYNC, O_SYNC},           {SB_OPEN_RSYNC, O_RSYNC},       {SB_OPEN_DSYNC, O_DSYNC}};
    /* O_NONBLOCK: opening a FIFO must not wait; waiting is done in sb_wait, where it can be stopped */
    int out = O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
    if (flags & SB_OPEN_WRITE)
        out |= flags & SB_OPEN_READ ? O_RDWR : O_WRONLY;
    else
        out |= O_RDONLY;
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (flags & map[i].sandbox) out |= map[i].host;
    return out;
}

int sb_file_open(struct sb_file *dir, struct sb_path path, unsigned flags, struct sb_file **out) {
    char text[PATH_MAX];
    struct sb_request request = sb_request_path(SB_FS_OPEN, dir, path);
    request.numbers[0] = flags;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_path_copy(path, text);
    /* Kernels disagree about this pair; some make a regular file of it. */
    if (!error && (flags & SB_OPEN_CREATE) && (flags & SB_OPEN_DIRECTORY)) error = EINVAL;
    /* before a file is made or cut that could not be handed out */
    if (!error && dir->sb->n_files >= dir->sb->config.max_fds) error = EMFILE;
    int fd = error ? -error : sb_resolve(dir->sb, dir->fd, text, sb_host_flags(flags), 0666);
    if (fd < 0) return sb_answer(dir->sb, &request, -fd, SB_ABSENT);
    unsigned kept = flags & (SB_OPEN_READ | SB_OPEN_WRITE | SB_STATUS_FLAGS);
    error = sb_file_new(dir->sb, fd, true, dir->name, text, kept, out);
    if (!error) (*out)->readonly = dir->readonly;
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

/* ---- bytes ---- */

static uint64_t total_of(const struct iovec *iov, int n_iov) {
    uint64_t total = 0;
    for (int i = 0; i < n_iov; i++) total += iov[i].iov_len;
    return total;
}

static ssize_t call_once(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                         bool write, int rwf) {
    off_t at = offset == SB_ABSENT ? -1 : (off_t)offset;
    return write ? pwritev2(file->fd, iov, n_iov, at, rwf) : preadv2(file->fd, iov, n_iov, at, rwf);
}

static bool is_socket(const struct sb_file *file) {
    return file->type == SB_TYPE_SOCKET_STREAM || file->type == SB_TYPE_SOCKET_DATAGRAM;
}

/* May it keep a caller waiting for longer than a disk does? */
static bool is_stream(const struct sb_file *file) {
    return is_socket(file) || file->type == SB_TYPE_FIFO || file->type == SB_TYPE_CHARACTER ||
           file->type == SB_TYPE_UNKNOWN;
}

/* Piece by piece, until one is not done whole. Returns bytes or -errno. */
static ssize_t stream_transfer(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset) {
    ssize_t total = 0;
    if (offset != SB_ABSENT) return -ESPIPE;
    for (int i = 0; i < n_iov; i++) {
        int64_t n = iov[i].iov_len ? file->stream(file->stream_context, iov[i].iov_base, iov[i].iov_len) : 0;
        if (n < 0) return total ? total : n < -4095 ? -EIO : (ssize_t)n;
        if ((uint64_t)n > iov[i].iov_len) return -EIO;
        total += (ssize_t)n;
        if ((uint64_t)n < iov[i].iov_len) break;
    }
    return total;
}

/* The host's function serves one thread at a time in each direction. */
static ssize_t stream_turn(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                           bool write) {
    pthread_mutex_lock(&file->turns[write]);
    ssize_t n = stream_transfer(file, iov, n_iov, offset);
    pthread_mutex_unlock(&file->turns[write]);
    return n;
}

static ssize_t call_after_poll(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                               bool write) {
    pthread_mutex_lock(&file->turns[write]);
    int error = sb_wait(file, write ? POLLOUT : POLLIN);
    ssize_t n = error ? -1 : call_once(file, iov, n_iov, offset, write, 0);
    if (!error) error = errno;
    pthread_mutex_unlock(&file->turns[write]);
    errno = error;
    return n;
}

/* Files on disks answer at once. Others are asked without waiting, or where the kernel cannot do that, polled
 * before: so a call never sleeps where a stop cannot reach it. Returns bytes or -errno. */
static ssize_t transfer(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                        bool write) {
    bool waits = is_stream(file) && offset == SB_ABSENT;
    if (file->stream) return stream_turn(file, iov, n_iov, offset, write);
    for (;;) {
        bool polls = waits && file->no_nowait;
        ssize_t n = polls ? call_after_poll(file, iov, n_iov, offset, write)
                          : call_once(file, iov, n_iov, offset, write, waits ? RWF_NOWAIT : 0);
        if (n >= 0) return n;
        if (errno == EOPNOTSUPP && waits && !polls) {
            file->no_nowait = true;
        } else if (errno == EAGAIN && waits) {
            int error = sb_wait(file, write ? POLLOUT : POLLIN);
            if (error) return -error;
        } else if (errno != EINTR || sb_stopped(file->sb)) {
            return -errno;
        }
    }
}

int sb_file_read(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t *out_n) {
    *out_n = 0;
    if (n_iov < 0 || n_iov > SB_MAX_IOV) return EINVAL;
    struct sb_request request = sb_request_file(SB_FS_READ, file, total_of(iov, n_iov), offset);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    ssize_t n = file->flags & SB_OPEN_READ ? transfer(file, iov, n_iov, offset, false) : -EBADF;
    *out_n = n > 0 ? (uint64_t)n : 0;
    return sb_answer(file->sb, &request, n < 0 ? (int)-n : 0, *out_n);
}

/* As much of the list as `room` bytes are; the piece at the edge is shortened. Returns how many pieces. */
static int clip(const struct iovec *iov, int n_iov, uint64_t room, struct iovec out[SB_MAX_IOV]) {
    int n = 0;
    for (; n < n_iov && room; n++) {
        out[n] = iov[n];
        if (out[n].iov_len > room) out[n].iov_len = room;
        room -= out[n].iov_len;
    }
    return n;
}

static ssize_t put_bytes(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset) {
    if (!is_socket(file) || offset != SB_ABSENT) return transfer(file, iov, n_iov, offset, true);
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    for (;;) { /* sockets: no SIGPIPE */
        ssize_t n = sendmsg(file->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) return n;
        if (errno != EAGAIN && (errno != EINTR || sb_stopped(file->sb))) return -errno;
        int error = errno == EAGAIN ? sb_wait(file, POLLOUT) : 0;
        if (error) return -error;
    }
}

static ssize_t put_within_limits(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                                 uint64_t total) {
    struct iovec clipped[SB_MAX_IOV];
    if (!(file->flags & SB_OPEN_WRITE)) return -EBADF;
    uint64_t room = sb_output_take(file->sb, total), taken = room;
    if (total && !room) return -ENOSPC; /* another thread was faster */
    /* Where only poll tells, it promises PIPE_BUF bytes; more could sleep in the kernel. */
    if (file->no_nowait && room > PIPE_BUF) room = PIPE_BUF;
    ssize_t n = room >= total ? put_bytes(file, iov, n_iov, offset)
                              : put_bytes(file, clipped, clip(iov, n_iov, room, clipped), offset);
    sb_output_give(file->sb, taken - (n > 0 ? (uint64_t)n : 0));
    return n;
}

int sb_file_write(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                  uint64_t *out_n) {
    *out_n = 0;
    if (n_iov < 0 || n_iov > SB_MAX_IOV) return EINVAL;
    uint64_t total = total_of(iov, n_iov);
    enum sb_kind kind = is_socket(file) ? SB_NET_SEND : SB_FS_WRITE;
    struct sb_request request = sb_request_file(kind, file, total, offset);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    ssize_t n = put_within_limits(file, iov, n_iov, offset, total);
    *out_n = n > 0 ? (uint64_t)n : 0;
    return sb_answer(file->sb, &request, n < 0 ? (int)-n : 0, *out_n);
}

/* ---- the rest: ask, one system call, answer ---- */

int sb_file_seek(struct sb_file *file, int64_t offset, int whence, uint64_t *out_position) {
    struct sb_request request = sb_request_file(SB_FS_SEEK, file, (uint64_t)offset, (uint64_t)whence);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    off_t at = lseek(file->fd, offset, whence);
    *out_position = at < 0 ? 0 : (uint64_t)at;
    return sb_answer(file->sb, &request, at < 0 ? errno : 0, *out_position);
}

int sb_file_sync(struct sb_file *file, bool data_only) {
    struct sb_request request = sb_request_file(SB_FS_SYNC, file, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    int failed = data_only ? fdatasync(file->fd) : fsync(file->fd);
    return sb_answer(file->sb, &request, failed ? errno : 0, SB_ABSENT);
}

int sb_file_advise(struct sb_file *file, uint64_t offset, uint64_t n_bytes, int advice) {
    struct sb_request request = sb_request_file(SB_FS_ADVISE, file, offset, n_bytes);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    error = posix_fadvise(file->fd, (off_t)offset, (off_t)n_bytes, advice);
    return sb_answer(file->sb, &request, error, SB_ABSENT);
}

#define ALLOCATE_MODES (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

/* Reserved bytes count as output: they fill the disk as written ones do. The kernel's call, as the library's
 * writes the range itself where the file system cannot reserve. */
static int allocate(struct sb_file *file, int mode, uint64_t offset, uint64_t n_bytes) {
    if (!(file->flags & SB_OPEN_WRITE)) return EBADF;
    if (mode & ~ALLOCATE_MODES) return EOPNOTSUPP;
    if (offset > INT64_MAX || n_bytes > INT64_MAX || n_bytes == 0) return EINVAL;
    uint64_t want = mode & FALLOC_FL_PUNCH_HOLE ? 0 : n_bytes;
    uint64_t room = sb_output_take(file->sb, want);
    int error = room < want ? ENOSPC : 0;
    while (!error && fallocate(file->fd, mode, (off_t)offset, (off_t)n_bytes))
        if (errno != EINTR || sb_stopped(file->sb)) error = errno;
    if (error) sb_output_give(file->sb, room);
    return error;
}

int sb_file_allocate(struct sb_file *file, int mode, uint64_t offset, uint64_t n_bytes) {
    struct sb_request request = sb_request_file(SB_FS_ALLOCATE, file, offset, n_bytes);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    return sb_answer(file->sb, &request, allocate(file, mode, offset, n_bytes), SB_ABSENT);
}

int sb_file_truncate(struct sb_file *file, uint64_t size) {
    struct sb_request request = sb_request_file(SB_FS_TRUNCATE, file, size, SB_ABSENT);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    if (!(file->flags & SB_OPEN_WRITE) || size > INT64_MAX)
        error = EINVAL;
    else if (ftruncate(file->fd, (off_t)size))
        error = errno;
    return sb_answer(file->sb, &request, error, SB_ABSENT);
}

static int set_flags(struct sb_file *file, unsigned status_flags) {
    unsigned changed = (file->flags ^ status_flags) & SB_STATUS_FLAGS;
    if (changed & (SB_OPEN_SYNC | SB_OPEN_DSYNC | SB_OPEN_RSYNC))
        return EINVAL; /* the kernel fixes these at open */
    if (changed & SB_OPEN_APPEND) {
        /* a descriptor handed in shares its flags with other processes */
        if (!file->own) return ENOTSUP;
        int now = fcntl(file->fd, F_GETFL);
        if (now < 0 || fcntl(file->fd, F_SETFL, now ^ O_APPEND)) return errno;
    }
    file->flags ^= changed;
    return 0;
}

int sb_file_set_flags(struct sb_file *file, unsigned status_flags) {
    struct sb_request request = sb_request_file(SB_FS_SET_FLAGS, file, status_flags, SB_ABSENT);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    pthread_mutex_lock(&file->lock);
    error = set_flags(file, status_flags);
    pthread_mutex_unlock(&file->lock);
    return sb_answer(file->sb, &request, error, SB_ABSENT);
}

int sb_file_stat(struct sb_file *file, struct stat *out) {
    struct sb_request request = sb_request_file(SB_FS_STAT, file, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    return sb_answer(file->sb, &request, fstat(file->fd, out) ? errno : 0, SB_ABSENT);
}

int sb_file_set_times(struct sb_file *file, const struct timespec times[2]) {
    struct sb_request request = sb_request_file(SB_FS_SET_TIMES, file, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(file->sb, &request);
    if (error) return error;
    /* A file lent as a stream to read from is not the program's to change. */
    if (file->stream || (!file->own && !(file->flags & SB_OPEN_WRITE)))
        error = EPERM;
    else if (futimens(file->fd, times))
        error = errno;
    return sb_answer(file->sb, &request, error, SB_ABSENT);
}
