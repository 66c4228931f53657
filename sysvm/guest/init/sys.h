/* sysvm/guest/init/sys.h: the kernel as init sees it, without a C library: init is a few kilobytes that depend on
 * nothing but Linux's system calls for x86-64. Results are the kernel's: -errno on failure. */
#ifndef ATOLL_GUEST_SYS_H
#define ATOLL_GUEST_SYS_H

#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/reboot.h>
#include <linux/wait.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline long sys(long number, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#define SYS5(n, a, b, c, d, e) sys(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define SYS4(n, a, b, c, d)    SYS5(n, a, b, c, d, 0)
#define SYS3(n, a, b, c)       SYS5(n, a, b, c, 0, 0)
#define SYS2(n, a, b)          SYS5(n, a, b, 0, 0, 0)
#define SYS1(n, a)             SYS5(n, a, 0, 0, 0, 0)
#define SYS0(n)                SYS5(n, 0, 0, 0, 0, 0)

#define AT_CWD (-100)
static inline long sys_open(const char *path, int flags) {
    return SYS4(openat, AT_CWD, path, flags | O_CLOEXEC, 0);
}
static inline long sys_read(int fd, void *bytes, size_t n) { return SYS3(read, fd, bytes, n); }
static inline long sys_write(int fd, const void *bytes, size_t n) { return SYS3(write, fd, bytes, n); }
static inline void sys_close(int fd) { SYS1(close, fd); }
static inline long sys_mkdir(const char *path, int mode) { return SYS3(mkdirat, AT_CWD, path, mode); }
static inline long sys_mount(const char *what, const char *where, const char *type, unsigned long flags,
                             const char *data) {
    return SYS5(mount, what, where, type, flags, data);
}

/* ---- strings ---- */

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
/* The text behind `prefix`, or NULL. */
const char *text_after(const char *text, const char *prefix);
/* Adds as much as fits; keeps the NUL. */
void text_add(char *out, size_t room, const char *text);
void text_add_number(char *out, size_t room, long number);

#endif
