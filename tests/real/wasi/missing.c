/* tests/real/wasi/missing.c: functions of the C library that WASI has no answer to: they fail, as they may.
 */
#include <errno.h>
#include <stdio.h>
#include "missing.h"

int system(const char *command) { return command ? -1 : 0; }
FILE *tmpfile(void) {
    errno = ENOSYS;
    return NULL;
}
char *tmpnam(char *name) {
    (void)name;
    return NULL;
}
int fchmod(int fd, mode_t mode) {
    (void)fd, (void)mode;
    return 0;
}
int fchown(int fd, uid_t owner, gid_t group) {
    (void)fd, (void)owner, (void)group;
    return 0;
}
uid_t geteuid(void) { return 1; }
