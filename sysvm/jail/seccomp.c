/* sysvm/jail/seccomp.c: which system calls are made at all.
 *
 * calls.def has a row for each, with the threads that may. Where an argument decides (ioctl, clone, socket, memory
 * that can be executed) it is part of a rule here. What is not named is not made. */
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

#define N(array) (sizeof(array) / sizeof *(array))
#define NR(name) SCMP_SYS(name)

/* Threads, as calls.def and the tables here have them. */
enum {
    V = 1 << JAIL_VCPU,
    D = 1 << JAIL_DISK,
    F = 1 << JAIL_FOLDER,
    LOOP = 1 << JAIL_ROLES,
    ALL = V | D | F | LOOP
};

static const struct {
    int number;
    unsigned threads;
} calls[] = {
#define CALL(name, threads) {SCMP_SYS(name), (threads) | LOOP},
#include "sysvm/jail/calls.def"
#undef CALL
};

/* ioctl by number; those of KVM by their type, below. TIOCSTI, which types into the terminal, is not among them.
 * TCSETSW gives the terminal back, whichever thread is the last one. */
static const struct {
    unsigned request, threads;
} ioctls[] = {{TCGETS, LOOP},          {TCSETS, LOOP},
              {TCSETSW, ALL},          {TCSETSF, LOOP},
              {TIOCGWINSZ, LOOP},      {FIONREAD, LOOP},
              {FIONBIO, LOOP},         {TUNSETIFF, LOOP},
              {TUNGETFEATURES, LOOP},  {TUNSETOFFLOAD, LOOP | V},
              {TUNSETVNETHDRSZ, LOOP}, {BLKGETSIZE64, LOOP | D},
              {BLKSSZGET, LOOP | D},   {BLKPBSZGET, LOOP | D},
              {BLKDISCARD, LOOP | D},  {BLKZEROOUT, LOOP | D},
              {FICLONE, LOOP | F},     {FICLONERANGE, LOOP | F}};
enum { KVM_TYPE = 0xAE00, TYPE_MASK = 0xFF00, NUMBER_MASK = 0xFFFFFFFF };

static int allow(scmp_filter_ctx f, int call) { return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0); }

static int allow_masked(scmp_filter_ctx f, int call, unsigned argument, uint64_t mask, uint64_t value) {
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
                            SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value));
}

static int allow_listed(scmp_filter_ctx f, unsigned thread, unsigned *out_n) {
    int error = 0;
    *out_n = 0;
    for (size_t i = 0; i < N(calls) && !error; i++) {
        if (!(calls[i].threads & thread)) continue;
        error = allow(f, calls[i].number);
        *out_n += 1;
    }
    for (size_t i = 0; i < N(ioctls) && !error; i++)
        if (ioctls[i].threads & thread) error = allow_masked(f, NR(ioctl), 1, NUMBER_MASK, ioctls[i].request);
    if (!error && thread & (LOOP | V)) error = allow_masked(f, NR(ioctl), 1, TYPE_MASK, KVM_TYPE);
    return error;
}

/* Memory, which is executed only where an engine makes code. */
static int allow_memory(scmp_filter_ctx f, bool executed) {
    int error = executed ? allow(f, NR(mmap)) : allow_masked(f, NR(mmap), 2, PROT_EXEC, 0);
    if (error) return error;
    return executed ? allow(f, NR(mprotect)) : allow_masked(f, NR(mprotect), 2, PROT_EXEC, 0);
}

/* A thread's own name, and that of its memory. */
static int allow_names(scmp_filter_ctx f) {
    int error = allow_masked(f, NR(prctl), 0, NUMBER_MASK, PR_SET_NAME);
    if (!error) error = allow_masked(f, NR(prctl), 0, NUMBER_MASK, PR_GET_NAME);
    return error ? error : allow_masked(f, NR(prctl), 0, NUMBER_MASK, PR_SET_VMA);
}

/* Code is written, and its memory given back, through the file that it is; the loop may do so anyway. */
static int allow_making_code(scmp_filter_ctx f) {
    int error = allow(f, NR(pwrite64));
    return error ? error : allow(f, NR(fallocate));
}

/* Threads but no processes. */
static int allow_threads(scmp_filter_ctx f) {
    enum { THREAD = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND };
    int error = allow_masked(f, NR(clone), 0, THREAD, THREAD);
    /* Its flags lie in memory, where no filter sees them; the C library then uses the one above. */
    return error ? error : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), NR(clone3), 0);
}

/* Who opens nothing is told so and lives: the C library's allocator asks a file of /proc, in a thread that gives
 * memory back, and does without. */
static int refuse_opening(scmp_filter_ctx f) {
    return seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), NR(openat), 0);
}

/* Sockets of the families that are in use, and no raw ones. */
static int allow_sockets(scmp_filter_ctx f) {
    enum { TYPE = 0xF };
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    int error = 0;
    for (size_t i = 0; i < N(families) && !error; i++)
        for (size_t k = 0; k < N(types) && !error; k++)
            error = seccomp_rule_add(f, SCMP_ACT_ALLOW, NR(socket), 2,
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

static int allow_sanitizers(scmp_filter_ctx f) {
    static const int wanted[] = {NR(ptrace), NR(getppid), NR(getdents), NR(clone),
                                 NR(prctl),  NR(wait4),   NR(readlink), NR(open)};
    int error = 0;
    for (size_t i = 0; JAIL_SANITIZED && i < N(wanted) && !error; i++) error = allow(f, wanted[i]);
    return error;
}

static int allow_process(scmp_filter_ctx f) {
    int error = allow_threads(f);
    if (!error) error = allow_sockets(f);
    return error ? error : allow_sanitizers(f);
}

static int fill_filter(struct jail *jail, unsigned role, scmp_filter_ctx f) {
    unsigned thread = 1u << role;
    /* a tree: as fast for the last as for the first */
    int error = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    /* calls of 32-bit programs are told, too, and do not end one thread silently */
    if (!error) error = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
    if (!error) error = allow_listed(f, thread, &jail->holds.n_calls[role]);
    if (!error) error = allow_memory(f, jail->config.makes_code && thread & (LOOP | V));
    if (!error && jail->config.makes_code && thread == V) error = allow_making_code(f);
    if (!error) error = allow_names(f);
    if (!error && thread & (V | D)) error = refuse_opening(f);
    if (!error && thread == LOOP) error = allow_process(f);
    return error ? error : export_filter(jail, f, &jail->filters[role]);
}

enum atoll_status jail_make_filters(struct jail *jail, struct atoll_error *err) {
    int error = 0;
    for (unsigned role = 0; role <= JAIL_ROLES && !error; role++) {
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
        error = f ? fill_filter(jail, role, f) : -ENOMEM;
        seccomp_release(f);
    }
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
