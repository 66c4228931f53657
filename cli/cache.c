/* cli/cache.c: the folder of the cache. What is in it runs as machine code, outside of any sandbox: it is used only
 * when nobody but its owner may write it, and its entries are sealed with a key that only the owner reads. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/saved.h"

#define MAX_BYTES       (UINT64_C(512) << 20) /* of all entries */
#define MAX_ENTRY_BYTES (UINT64_C(256) << 20)
#define MAX_REMOVED     1000 /* entries a run */
#define STALE_SECONDS   3600 /* after which a file that was begun is nobody's any more */

/* ---- who may write ---- */

static bool is_ours(int fd, mode_t kind, mode_t forbidden) {
    struct stat s;
    return !fstat(fd, &s) && (s.st_mode & S_IFMT) == kind && s.st_uid == geteuid() &&
           !(s.st_mode & forbidden);
}

static int open_folder(const char **why) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];
    int n = -1;
    *why = "neither XDG_CACHE_HOME nor HOME names a folder";
    if (base && base[0] == '/')
        n = snprintf(path, sizeof path, "%s", base);
    else if (home && home[0] == '/')
        n = snprintf(path, sizeof path, "%s/.cache", home);
    if (n < 0 || (size_t)n >= sizeof path - sizeof "/atoll") return -1;
    mkdir(path, 0700);
    strcat(path, "/atoll");
    mkdir(path, 0700);
    *why = "its folder cannot be opened";
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || is_ours(folder, S_IFDIR, 022)) return folder;
    *why = "somebody else may write its folder";
    close(folder);
    return -1;
}

/* ---- files, whole or not at all ---- */

static bool write_all(int fd, const uint8_t *bytes, size_t n) {
    while (n) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

/* The bytes under a name of their own; false = there is no such file afterwards. */
static bool write_aside(int folder, char name[64], const void *bytes, size_t n) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random) return false;
    snprintf(name, 64, ".new-%016llx", (unsigned long long)random);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool ok = write_all(fd, bytes, n);
    ok = !close(fd) && ok;
    if (!ok) unlinkat(folder, name, 0);
    return ok;
}

/* *out_fd: for the rest, as of cli_file_read_part. */
static bool read_file(int folder, const char *name, uint64_t most, cli_file_wanted *wanted,
                      struct cli_file *out, int *out_fd) {
    struct atoll_error err;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *out = (struct cli_file){0};
    *out_fd = -1;
    if (fd < 0) return false;
    bool ok = is_ours(fd, S_IFREG, 022) && !cli_descriptor_read(fd, most, wanted, out, &err) && out->size;
    if (ok) futimens(fd, NULL); /* it is in use: others go first */
    if (ok && cli_descriptor_has_more(fd, out))
        *out_fd = fd;
    else
        close(fd);
    if (!ok) cli_file_close(out);
    return ok;
}

/* ---- the key ---- */

static bool read_key(int folder, uint8_t key[SAVED_HASH_BYTES]) {
    struct cli_file file;
    int fd = openat(folder, "key", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), rest;
    bool ok = fd >= 0 && is_ours(fd, S_IFREG, 077);
    if (fd >= 0) close(fd);
    ok = ok && read_file(folder, "key", SAVED_HASH_BYTES, NULL, &file, &rest);
    if (!ok) return false;
    if (rest >= 0) close(rest);
    ok = file.size == SAVED_HASH_BYTES;
    if (ok) memcpy(key, file.bytes, SAVED_HASH_BYTES);
    cli_file_close(&file);
    return ok;
}

/* What a machine that lost its power left of a key. */
static void remove_cut_key(int folder) {
    struct stat s;
    if (!fstatat(folder, "key", &s, AT_SYMLINK_NOFOLLOW) && S_ISREG(s.st_mode) && s.st_uid == geteuid() &&
        s.st_size < SAVED_HASH_BYTES)
        unlinkat(folder, "key", 0);
}

/* Of several that make one at the same time, the first is everybody's. */
static void make_key(int folder) {
    uint8_t key[SAVED_HASH_BYTES];
    char name[64];
    remove_cut_key(folder);
    if (getrandom(key, sizeof key, 0) != sizeof key || !write_aside(folder, name, key, sizeof key)) return;
    linkat(folder, name, folder, "key", 0);
    unlinkat(folder, name, 0);
}

bool cache_open(struct cache *cache, const char **why) {
    const char *reason;
    if (!why) why = &reason;
    cache->folder = -1;
    *why = "atoll runs with another user's rights";
    if (getauxval(AT_SECURE)) return false;
    cache->folder = open_folder(why);
    if (cache->folder < 0) return false;
    if (read_key(cache->folder, cache->key)) return true;
    make_key(cache->folder);
    if (read_key(cache->folder, cache->key)) return true;
    *why = "its key cannot be made, or others may read it";
    cache_close(cache);
    return false;
}

void cache_close(struct cache *cache) {
    if (cache->folder >= 0) close(cache->folder);
    cache->folder = -1;
}

/* ---- entries ---- */

bool cache_read(const struct cache *cache, const char *name, struct cli_file *out, int *out_fd) {
    return read_file(cache->folder, name, MAX_ENTRY_BYTES, saved_wanted, out, out_fd);
}

void cache_remove(const struct cache *cache, const char *name) { unlinkat(cache->folder, name, 0); }

/* The entry unused for longest, and the bytes of all; "" = none. Files that were begun long ago count as oldest. */
static uint64_t survey(int folder, char oldest[NAME_MAX + 1]) {
    uint64_t bytes = 0;
    struct timespec now, then = {0, 0};
    oldest[0] = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0) close(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat s;
        bool begun = strncmp(entry->d_name, ".new-", 5) == 0;
        if ((entry->d_name[0] == '.' && !begun) || !strcmp(entry->d_name, "key")) continue;
        if (fstatat(folder, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) || !S_ISREG(s.st_mode)) continue;
        if (begun && now.tv_sec - s.st_mtim.tv_sec < STALE_SECONDS) continue;
        bytes += begun ? MAX_BYTES : (uint64_t)s.st_size;
        bool older = s.st_mtim.tv_sec < then.tv_sec ||
                     (s.st_mtim.tv_sec == then.tv_sec && s.st_mtim.tv_nsec < then.tv_nsec);
        if (oldest[0] && !older && !begun) continue;
        snprintf(oldest, NAME_MAX + 1, "%s", entry->d_name);
        then = begun ? (struct timespec){0, 0} : s.st_mtim;
    }
    if (dir) closedir(dir);
    return bytes;
}

void cache_write(const struct cache *cache, const char *name, const void *bytes, size_t n_bytes) {
    char aside[64], oldest[NAME_MAX + 1];
    if (n_bytes > MAX_ENTRY_BYTES) return;
    for (unsigned i = 0; i < MAX_REMOVED && survey(cache->folder, oldest) + n_bytes > MAX_BYTES && oldest[0];
         i++)
        if (unlinkat(cache->folder, oldest, 0)) break;
    if (!write_aside(cache->folder, aside, bytes, n_bytes)) return;
    if (renameat(cache->folder, aside, cache->folder, name)) unlinkat(cache->folder, aside, 0);
}
