/* tests/sandbox/fixture.h: a temporary directory with a granted part and a part nobody granted.
 *
 *   ROOT/secret           a file outside, "secret"
 *   ROOT/outside/         a directory outside, with file "treasure"
 *   ROOT/in/file          "hello"
 *   ROOT/in/sub/inner     "inner" */
#ifndef ATOLL_TESTS_SANDBOX_FIXTURE_H
#define ATOLL_TESTS_SANDBOX_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "sandbox/sandbox.h"

struct fixture {
    char root[64];
    struct sandbox *sb;
    struct sb_file *dir;      /* ROOT/in */
    struct sb_file *readonly; /* the same, read-only */
};

static inline const char *host_path(const struct fixture *f, const char *name) {
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", f->root, name);
    return path;
}

static inline void host_write(const struct fixture *f, const char *name, const char *text) {
    FILE *file = fopen(host_path(f, name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void host_holds(const struct fixture *f, const char *name, const char *text) {
    char found[256] = "";
    FILE *file = fopen(host_path(f, name), "r");
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    assert_string_equal(found, text);
}

static inline bool host_has(const struct fixture *f, const char *name) {
    struct stat st;
    return lstat(host_path(f, name), &st) == 0;
}

static inline void host_link(const struct fixture *f, const char *target, const char *name) {
    assert_int_equal(symlink(target, host_path(f, name)), 0);
}

static inline struct fixture *fixture_new(struct sb_config config) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->root, "/tmp/atoll-sandbox-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(mkdir(host_path(f, "outside"), 0755), 0);
    assert_int_equal(mkdir(host_path(f, "in"), 0755), 0);
    assert_int_equal(mkdir(host_path(f, "in/sub"), 0755), 0);
    host_write(f, "secret", "secret");
    host_write(f, "outside/treasure", "treasure");
    host_write(f, "in/file", "hello");
    host_write(f, "in/sub/inner", "inner");
    assert_int_equal(sb_new(&config, &f->sb, NULL), ATOLL_OK);
    assert_int_equal(sb_grant_dir(f->sb, host_path(f, "in"), "/in", false, NULL), ATOLL_OK);
    assert_int_equal(sb_grant_dir(f->sb, host_path(f, "in"), "/ro", true, NULL), ATOLL_OK);
    assert_int_equal(sb_grant_count(f->sb), 2);
    f->dir = sb_grant_at(f->sb, 0)->file;
    f->readonly = sb_grant_at(f->sb, 1)->file;
    return f;
}

static inline int fixture_remove(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static inline void fixture_free(struct fixture *f) {
    sb_free(f->sb);
    assert_int_equal(nftw(f->root, fixture_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(f);
}

static inline struct sb_path path_of(const char *text) { return (struct sb_path){text, strlen(text)}; }

/* Opens and closes: what the program is told. */
static inline int try_open(struct sb_file *dir, const char *path, unsigned flags) {
    struct sb_file *file;
    int error = sb_file_open(dir, path_of(path), flags, &file);
    if (!error) sb_file_unref(file);
    return error;
}

static inline struct sb_file *must_open(struct sb_file *dir, const char *path, unsigned flags) {
    struct sb_file *file = NULL;
    assert_int_equal(sb_file_open(dir, path_of(path), flags, &file), 0);
    return file;
}

static inline int write_text(struct sb_file *file, const char *text, uint64_t *out_n) {
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    return sb_file_write(file, &iov, 1, SB_ABSENT, out_n);
}

static inline void reads(struct sb_file *file, uint64_t offset, const char *text) {
    char found[64] = "";
    struct iovec iov = {found, sizeof found - 1};
    uint64_t n;
    assert_int_equal(sb_file_read(file, &iov, 1, offset, &n), 0);
    assert_int_equal(n, strlen(text));
    assert_string_equal(found, text);
}

#endif
