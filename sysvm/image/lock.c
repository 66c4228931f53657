/* sysvm/image/lock.c: one writer, or many readers, of an image.
 *
 * Locks of open file descriptions on single bytes, where QEMU's tools look, too. Byte 100 + p says "somebody
 * does p", byte 200 + p "somebody suffers no other doing p"; both are shared locks, so each is a mark that
 * many can set and all can see. Who wants in sets marks first and looks for others' then: of two at once at
 * most one gets in.
 *
 *   p   0 reads and wants steady contents    1 writes    3 changes the size */
#include <fcntl.h>
#include "sysvm/image/internal.h"

enum { DOES = 100, SUFFERS_NOT = 200, READS = 1 << 0, WRITES = 1 << 1, RESIZES = 1 << 3, N_KINDS = 4 };

static int mark(int fd, off_t byte) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
    return errno == EACCES ? EAGAIN : errno;
}

/* EAGAIN when another set this mark. */
static int look(int fd, off_t byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &lock)) return errno;
    return lock.l_type == F_UNLCK ? 0 : EAGAIN;
}

int img_lock(int fd, bool write) {
    unsigned does = write ? READS | WRITES | RESIZES : READS;
    unsigned suffers_not = WRITES | RESIZES;
    int error = 0;
    for (int p = 0; !error && p < N_KINDS; p++) {
        if (does >> p & 1) error = mark(fd, DOES + p);
        if (!error && suffers_not >> p & 1) error = mark(fd, SUFFERS_NOT + p);
    }
    for (int p = 0; !error && p < N_KINDS; p++) {
        if (does >> p & 1) error = look(fd, SUFFERS_NOT + p);
        if (!error && suffers_not >> p & 1) error = look(fd, DOES + p);
    }
    return error;
}
