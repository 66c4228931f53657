/* sysvm/jail/seccomp.c: which system calls are made at all.
 *
 * The process's list serves the loop, which opens and makes everything again after a reset, and the workers of
 * files; a processor's thread gets by without opening or connecting anything. Where an argument decides (ioctl,
 * clone, memory that can be executed) it is part of the rule. What is not named is not made. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <sched.h>
#include <unistd.h>
#include "sysvm/jail/internal.h"

#define N(array)   (sizeof(array) / sizeof *(array))
#define CALL(name) SCMP_SYS(name)

/* What every thread does: memory, locks, time, signals, its end; and descriptors it has. */
static const int everywhere[] = {CALL(read),
                                 CALL(write),
                                 CALL(readv),
                                 CALL(writev),
                                 CALL(pread64),
                                 CALL(pwrite64),
                                 CALL(preadv),
                                 CALL(pwritev),
                                 CALL(preadv2),
                                 CALL(pwritev2),
                                 CALL(close),
                                 CALL(fstat),
                                 CALL(lseek),
                                 CALL(munmap),
                                 CALL(mremap),
                                 CALL(madvise),
                                 CALL(brk),
                                 CALL(futex),
                                 CALL(sched_yield),
                                 CALL(nanosleep),
                                 CALL(clock_nanosleep),
                                 CALL(clock_gettime),
                                 CALL(gettimeofday),
                                 CALL(clock_getres),
                                 CALL(getpid),
                                 CALL(gettid),
                                 CALL(rt_sigreturn),
                                 CALL(rt_sigprocmask),
                                 CALL(rt_sigaction),
                                 CALL(sigaltstack),
                                 CALL(restart_syscall),
                                 CALL(exit),
                                 CALL(exit_group),
                                 CALL(set_robust_list),
                                 CALL(rseq),
                                 CALL(getrandom),
                                 CALL(tgkill),
                                 CALL(sched_getaffinity),
                                 CALL(poll),
                                 CALL(ppoll),
                                 CALL(epoll_ctl),
                                 CALL(timerfd_settime),
                                 CALL(eventfd2),
                                 CALL(recvfrom),
                                 CALL(recvmsg),
                                 CALL(sendto),
                                 CALL(sendmsg),
                                 CALL(shutdown),
                                 CALL(getsockopt),
                                 CALL(fallocate),
                                 CALL(fdatasync),
                                 CALL(fsync),
                                 CALL(io_uring_enter)};

/* What the loop and workers do beside it. */
static const int process_only[] = {
    CALL(epoll_wait), CALL(epoll_pwait), CALL(epoll_create1), CALL(timerfd_create), CALL(signalfd4),
    CALL(pipe2), CALL(dup), CALL(dup3), CALL(fcntl), CALL(memfd_create), CALL(uname), CALL(sysinfo),
    CALL(prlimit64), CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid), CALL(umask), CALL(seccomp),
    CALL(sched_setaffinity), CALL(membarrier),
    /* sockets */
    CALL(connect), CALL(bind), CALL(listen), CALL(accept), CALL(accept4), CALL(getsockname),
    CALL(getpeername), CALL(setsockopt),
    /* files */
    CALL(openat), CALL(open), CALL(openat2), CALL(access), CALL(faccessat), CALL(faccessat2), CALL(stat),
    CALL(lstat), CALL(newfstatat), CALL(statx), CALL(statfs), CALL(fstatfs), CALL(readlink), CALL(readlinkat),
    CALL(getdents64), CALL(getcwd), CALL(mkdirat), CALL(mknodat), CALL(unlink), CALL(unlinkat), CALL(rename),
    CALL(renameat), CALL(renameat2), CALL(linkat), CALL(symlinkat), CALL(chmod), CALL(fchmod), CALL(fchmodat),
    CALL(fchown), CALL(fchownat), CALL(utimensat), CALL(truncate), CALL(ftruncate), CALL(flock),
    CALL(copy_file_range), CALL(sync_file_range), CALL(fadvise64), CALL(fgetxattr), CALL(fsetxattr),
    CALL(flistxattr), CALL(fremovexattr), CALL(getxattr), CALL(setxattr), CALL(listxattr), CALL(removexattr),
    CALL(lgetxattr), CALL(lsetxattr), CALL(llistxattr), CALL(lremovexattr), CALL(syncfs),
    CALL(io_uring_setup), CALL(io_uring_register)};

/* ioctl by number; those of KVM by their type, below. TIOCSTI, which types into the terminal, is not among them. */
static const unsigned ioctls[] = {TCGETS,          TCSETS,       TCSETSW,     TCSETSF,        TIOCGWINSZ,
                                  FIONREAD,        FIONBIO,      TUNSETIFF,   TUNGETFEATURES, TUNSETOFFLOAD,
                                  TUNSETVNETHDRSZ, BLKGETSIZE64, BLKSSZGET,   BLKPBSZGET,     BLKDISCARD,
                                  BLKZEROOUT,      FICLONE,      FICLONERANGE};
enum { KVM_TYPE = 0xAE00, TYPE_MASK = 0xFF00, NUMBER_MASK = 0xFFFFFFFF };

static int allow_all(scmp_filter_ctx f, const int *calls, size_t n) {
    int error = 0;
    for (size_t i = 0; i < n && !error; i++) error = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    return error;
}

static int allow_masked(scmp_filter_ctx f, int call, unsigned argument, uint64_t mask, uint64_t value) {
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
                            SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value));
}

/* Memory that is never executed, the process's own name, KVM, and threads but no processes. */
static int allow_by_argument(scmp_filter_ctx f) {
    enum { THREAD = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND };
    int error = allow_masked(f, CALL(mmap), 2, PROT_EXEC, 0);
    if (!error) error = allow_masked(f, CALL(mprotect), 2, PROT_EXEC, 0);
    if (!error) error = allow_masked(f, CALL(ioctl), 1, TYPE_MASK, KVM_TYPE);
    for (size_t i = 0; i < N(ioctls) && !error; i++)
        error = allow_masked(f, CALL(ioctl), 1, NUMBER_MASK, ioctls[i]);
    if (!error) error = allow_masked(f, CALL(prctl), 0, NUMBER_MASK, PR_SET_NAME);
    if (!error) error = allow_masked(f, CALL(prctl), 0, NUMBER_MASK, PR_GET_NAME);
    if (!error) error = allow_masked(f, CALL(prctl), 0, NUMBER_MASK, PR_SET_VMA);
    if (!error) error = allow_masked(f, CALL(clone), 0, THREAD, THREAD);
    /* Its flags lie in memory, where no filter sees them; the C library then uses the one above. */
    return error ? error : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
}

/* Sockets of the families that are in use, and no raw ones. */
static int allow_sockets(scmp_filter_ctx f) {
    enum { TYPE = 0xF };
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    int error = 0;
    for (size_t i = 0; i < N(families) && !error; i++)
        for (size_t k = 0; k < N(types) && !error; k++)
            error = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(socket), 2,
                                     SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, NUMBER_MASK, (uint64_t)families[i]),
                                     SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, TYPE, (uint64_t)types[k]));
    return error;
}

/* The filter as the kernel wants it, through a file in memory: libseccomp writes nowhere else. */
static int export_filter(const struct jail *jail, scmp_filter_ctx f, struct jail_filter *out) {
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0) return -errno;
    int error = seccomp_export_bpf(f, fd);
    off_t size = error ? 0 : lseek(fd, 0, SEEK_END);
    if (size > 0 && (out->code = atoll_new(jail->alloc, 1, (size_t)size))) {
        out->n_bytes = (size_t)size;
        if (pread(fd, out->code, out->n_bytes, 0) != size) error = -EIO;
    } else if (!error) {
        error = -ENOMEM;
    }
    close(fd);
    return error;
}

/* Builds with a sanitizer look for leaks at their end: from a process that traces this one. */
static int allow_sanitizers(scmp_filter_ctx f) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    static const int calls[] = {CALL(ptrace), CALL(clone),    CALL(prctl),
                                CALL(wait4),  CALL(readlink), CALL(open)};
    return allow_all(f, calls, N(calls));
#else
    (void)f;
    return 0;
#endif
}

static int make_filter(const struct jail *jail, bool whole_process, struct jail_filter *out) {
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
    if (!f) return -ENOMEM;
    int error =
        seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: as fast for the last as for the first */
    if (!error) error = allow_all(f, everywhere, N(everywhere));
    if (!error) error = allow_by_argument(f);
    if (!error && whole_process) error = allow_all(f, process_only, N(process_only));
    if (!error && whole_process) error = allow_sockets(f);
    if (!error && whole_process) error = allow_sanitizers(f);
    if (!error) error = export_filter(jail, f, out);
    seccomp_release(f);
    return error;
}

enum atoll_status jail_make_filters(struct jail *jail, struct atoll_error *err) {
    int error = make_filter(jail, true, &jail->process);
    if (!error) error = make_filter(jail, false, &jail->vcpu);
    if (error == -ENOMEM) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (!error) return ATOLL_OK;
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "jail: no filter of system calls: %s",
                      strerror(-error));
}

void jail_learn_names(struct jail *jail) {
    for (int i = 0; i < JAIL_CALLS; i++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
        snprintf(jail->names[i], sizeof jail->names[i], "%s", name ? name : "?");
        free(name);
    }
}

enum atoll_status jail_apply(const struct jail_filter *filter, struct atoll_error *err) {
    struct sock_fprog program = {.len = (unsigned short)(filter->n_bytes / sizeof *filter->code),
                                 .filter = filter->code};
    if (syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, &program) == 0) return ATOLL_OK;
    int system_errno = errno;
    atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
               "jail: the kernel takes no filter of system calls: %s", strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_UNSUPPORTED;
}
