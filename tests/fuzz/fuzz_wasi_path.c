/* tests/fuzz/fuzz_wasi_path.c: a program's file requests, one a line, against a directory with planted links.
 *
 *   line      letter, path; two paths are separated by '|'
 *   letters   o open to read, w create and write, t truncate, n no-follow, d open as directory, c the same
 * and go on from there, s stat, l lstat, m mkdir, r rmdir, u unlink, v rename, h hard link, y symlink
 * (target|path), k readlink, a set times
 *
 * Each input runs twice, with openat2 and with our own walk. Nothing outside the grant may be reached or
 * change, and both ways have to give the same answers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>
#include "sandbox/sandbox.h"
#include "tests/fuzz/planted.h"

#define MAX_LINES 48

static struct sandbox *sandboxes[2]; /* [1]: without openat2 */

static const char *const links[][2] = {{"../secret", "in/up"},
                                       {"../outside", "in/out"},
                                       {"sub/../../secret", "in/round"},
                                       {"loop", "in/loop"},
                                       {"sub/inner", "in/inside"},
                                       {"..", "in/sub/parent"},
                                       {"../../outside", "in/sub/far"},
                                       {".", "in/dot"},
                                       {"../new", "in/dangling"},
                                       {"/etc/passwd", "in/absolute"},
                                       {"a/b", "in/none"}};

static void start(void) {
    if (!planted_make()) return;
    for (int i = 0; i < 2; i++) {
        struct sb_config config = {.no_openat2 = i == 1, .max_fds = 40};
        FUZZ_CHECK(!sb_new(&config, &sandboxes[i], NULL));
        FUZZ_CHECK(!sb_grant_dir(sandboxes[i], planted_at("in"), "/in", false, NULL));
    }
}

/* ---- requests ---- */

static int try_open(struct sb_file **dir, struct sb_path path, unsigned flags, bool enter) {
    struct sb_file *file;
    struct stat st;
    int error = sb_file_open(*dir, path, flags, &file);
    if (error) return error;
    FUZZ_CHECK(!fstat(sb_file_fd(file), &st));
    planted_check_inside(st.st_ino);
    if (flags & SB_OPEN_WRITE) {
        struct iovec iov = {(void *)(uintptr_t) "written", 7};
        uint64_t n;
        sb_file_write(file, &iov, 1, SB_ABSENT, &n);
    }
    if (!enter) return sb_file_unref(file), 0;
    sb_file_unref(*dir);
    *dir = file;
    return 0;
}

static int try_stat(struct sb_file *dir, struct sb_path path, bool follow) {
    struct stat st;
    int error = sb_path_stat(dir, path, follow, &st);
    if (!error) planted_check_inside(st.st_ino);
    return error;
}

static int request(struct sb_file **dir, char letter, struct sb_path path, struct sb_path path2) {
    const struct timespec times[2] = {{1, 0}, {2, 0}};
    char target[64];
    size_t n;
    switch (letter) {
    case 'o': return try_open(dir, path, SB_OPEN_READ, false);
    case 'w': return try_open(dir, path, SB_OPEN_READ | SB_OPEN_WRITE | SB_OPEN_CREATE, false);
    case 't': return try_open(dir, path, SB_OPEN_WRITE | SB_OPEN_TRUNCATE, false);
    case 'n': return try_open(dir, path, SB_OPEN_READ | SB_OPEN_NOFOLLOW, false);
    case 'd': return try_open(dir, path, SB_OPEN_READ | SB_OPEN_DIRECTORY, false);
    case 'c': return try_open(dir, path, SB_OPEN_READ | SB_OPEN_DIRECTORY, true);
    case 's': return try_stat(*dir, path, true);
    case 'l': return try_stat(*dir, path, false);
    case 'm': return sb_path_mkdir(*dir, path);
    case 'r': return sb_path_rmdir(*dir, path);
    case 'u': return sb_path_unlink(*dir, path);
    case 'v': return sb_path_rename(*dir, path, *dir, path2);
    case 'h': return sb_path_link(*dir, path, *dir, path2);
    case 'y': return sb_path_symlink(path, *dir, path2);
    case 'k': return sb_path_readlink(*dir, path, target, sizeof target, &n);
    case 'a': return sb_path_set_times(*dir, path, true, times);
    default: return 0;
    }
}

static unsigned run(struct sandbox *sb, const char *text, size_t size, int errors[MAX_LINES]) {
    struct sb_file *dir = sb_grant_at(sb, 0)->file;
    unsigned n = 0;
    sb_file_ref(dir);
    for (size_t from = 0; from < size && n < MAX_LINES;) {
        const char *line = text + from;
        const char *end = memchr(line, '\n', size - from);
        size_t length = end ? (size_t)(end - line) : size - from;
        from += length + 1;
        if (length < 1) continue;
        struct sb_path path = {line + 1, length - 1}, path2 = {line + 1, 0};
        const char *bar = memchr(path.bytes, '|', path.size);
        if (bar) path2 = (struct sb_path){bar + 1, path.size - (size_t)(bar + 1 - path.bytes)};
        if (bar) path.size = (size_t)(bar - path.bytes);
        errors[n++] = request(&dir, line[0], path, path2);
    }
    sb_file_unref(dir);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int errors[2][MAX_LINES];
    unsigned n[2];
    start();
    for (int i = 0; i < 2; i++) {
        planted_renew(links, sizeof links / sizeof *links);
        n[i] = run(sandboxes[i], (const char *)data, size, errors[i]);
        planted_check_outside();
    }
    FUZZ_CHECK(n[0] == n[1]);
    for (unsigned k = 0; k < n[0]; k++) {
        if (errors[0][k] != errors[1][k])
            fprintf(stderr, "request %u: %s with openat2, %s without\n", k, strerrorname_np(errors[0][k]),
                    strerrorname_np(errors[1][k]));
        FUZZ_CHECK(errors[0][k] == errors[1][k]);
    }
    return 0;
}
