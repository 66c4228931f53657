/* tests/stdlib/guests/guest.h: a guest is compiled twice, for this machine and for WASI, run in an empty
 * directory each time, and has to print the same lines. */
#ifndef GUEST_H
#define GUEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Error numbers differ between systems, their names do not. */
static inline const char *error_name(int error) {
    switch (error) {
    case 0: return "ok";
    case ENOENT: return "ENOENT";
    case EEXIST: return "EEXIST";
    case ENOTDIR: return "ENOTDIR";
    case EISDIR: return "EISDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case EBADF: return "EBADF";
    case EINVAL: return "EINVAL";
    case ELOOP: return "ELOOP";
    case ESPIPE: return "ESPIPE";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    default: return strerror(error);
    }
}
#define SHOW(call)                                                                                           \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        long long result_ = (long long)(call);                                                               \
        printf("%s = %lld %s\n", #call, result_, error_name(result_ < 0 ? errno : 0));                       \
    } while (0)

static inline void put_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) printf("%s: %s\n", path, error_name(errno));
}
static inline void show_file(const char *path) {
    char text[200] = "";
    FILE *f = fopen(path, "r");
    if (!f) {
        printf("%s: %s\n", path, error_name(errno));
        return;
    }
    size_t n = fread(text, 1, sizeof text - 1, f);
    printf("%s: %zu \"%s\"\n", path, n, text);
    fclose(f);
}

#endif
