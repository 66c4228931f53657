/* sandbox/list.c: what a directory holds.
 *
 * The kernel's cookies are for itself: 63 bits of a hash on ext4. A program whose `long` has 32 bits keeps half of
 * one (telldir). So a listing can be numbered: its cookie n stands for the place behind the n-th entry, and the
 * kernel's cookie of that place is kept with the directory. What a change of the directory does to the
 * kernel's cookies, it does to these. */
#include <sys/syscall.h>
#include "sandbox/internal.h"

/* The inode of what stands above a grant is nobody's business: ".." gets the directory's own. */
static void hide_parent(const struct sb_file *dir, uint8_t *entries, size_t n) {
    enum { SIZE_AT = 16, NAME_AT = 19 };
    uint16_t size;
    for (size_t at = 0; n - at > NAME_AT; at += size) {
        memcpy(&size, entries + at + SIZE_AT, sizeof size);
        /* The buffer may be memory the program writes to meanwhile. */
        if (size <= NAME_AT || size > n - at) return;
        if (strncmp((char *)entries + at + NAME_AT, "..", size - NAME_AT)) continue;
        struct stat st;
        uint64_t inode = fstat(dir->fd, &st) ? 0 : st.st_ino;
        memcpy(entries + at, &inode, sizeof inode);
    }
}

static int list(struct sb_file *dir, uint64_t cookie, void *buffer, size_t size, size_t *out_n) {
    if (dir->type != SB_TYPE_DIRECTORY) return ENOTDIR;
    /* EBADF: a grant that may be searched, not listed */
    if (lseek(dir->fd, (off_t)cookie, SEEK_SET) < 0) return errno == EBADF ? EACCES : errno;
    long n = syscall(SYS_getdents64, dir->fd, buffer, size > INT_MAX ? (size_t)INT_MAX : size);
    if (n < 0) return errno;
    hide_parent(dir, buffer, (size_t)n);
    *out_n = (size_t)n;
    return 0;
}

/* ---- numbers ---- */

#define PLAIN (UINT64_C(1) << 63) /* the kernel's own cookie: there was no room to keep it */

/* The kernel's cookie for one that this directory gave. */
static int plain_cookie(const struct sb_file *dir, uint64_t cookie, uint64_t *out) {
    *out = cookie & PLAIN ? cookie & ~PLAIN : 0;
    if (cookie == 0 || cookie & PLAIN) return 0;
    if (cookie > dir->n_places) return EINVAL;
    *out = dir->places[cookie - 1];
    return 0;
}

/* Keeps what stands behind entry `number`. False: no room; a program's directories have some in common. */
static bool keep_place(struct sb_file *dir, uint64_t number, uint64_t place) {
    struct sandbox *sb = dir->sb;
    if (number > dir->n_places + 1) return false;
    if (number == dir->n_places + 1) {
        if (atomic_fetch_add(&sb->n_places, 1) >= SB_PLACES_MAX ||
            atoll_grow(sb->alloc, (void **)&dir->places, &dir->places_capacity, number,
                       sizeof *dir->places)) {
            atomic_fetch_sub(&sb->n_places, 1);
            return false;
        }
        dir->n_places++;
    }
    dir->places[number - 1] = place;
    return true;
}

static void number_entries(struct sb_file *dir, uint64_t cookie, uint8_t *entries, size_t n) {
    enum { NEXT_AT = 8, SIZE_AT = 16, NAME_AT = 19 };
    uint16_t size;
    bool kept = !(cookie & PLAIN);
    for (size_t at = 0; n - at > NAME_AT; at += size) {
        uint64_t place;
        memcpy(&size, entries + at + SIZE_AT, sizeof size);
        memcpy(&place, entries + at + NEXT_AT, sizeof place);
        if (size <= NAME_AT || size > n - at) return;
        kept = kept && keep_place(dir, ++cookie, place);
        uint64_t given = kept ? cookie : place | PLAIN;
        memcpy(entries + at + NEXT_AT, &given, sizeof given);
    }
}

void sb_places_free(struct sb_file *dir) {
    atomic_fetch_sub(&dir->sb->n_places, dir->n_places);
    atoll_free(dir->sb->alloc, dir->places, dir->places_capacity * sizeof *dir->places);
}

int sb_file_list_numbered(struct sb_file *dir, uint64_t cookie, void *buffer, size_t size, size_t *out_n) {
    struct sb_request request = sb_request_file(SB_FS_LIST, dir, cookie, SB_ABSENT);
    uint64_t plain;
    *out_n = 0;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    pthread_mutex_lock(&dir->lock);
    error = plain_cookie(dir, cookie, &plain);
    if (!error) error = list(dir, plain, buffer, size, out_n);
    if (!error) number_entries(dir, cookie, buffer, *out_n);
    pthread_mutex_unlock(&dir->lock);
    return sb_answer(dir->sb, &request, error, *out_n);
}

int sb_file_list(struct sb_file *dir, uint64_t cookie, void *buffer, size_t size, size_t *out_n) {
    struct sb_request request = sb_request_file(SB_FS_LIST, dir, cookie, SB_ABSENT);
    *out_n = 0;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    pthread_mutex_lock(&dir->lock);
    error = list(dir, cookie, buffer, size, out_n);
    pthread_mutex_unlock(&dir->lock);
    return sb_answer(dir->sb, &request, error, *out_n);
}
