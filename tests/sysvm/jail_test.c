/* tests/sysvm/jail_test.c: what a process in the jail may do, and how it ends when it does something else. Each
 * attempt is made by a child, which tells by its exit status and a line. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
/* suite.h first: cmocka */
#include "sysvm/jail/jail.h"

enum { FORBIDDEN = 42, DONE = 0, FAILED = 1, NO_JAIL = 2 };

static char dir[] = "/tmp/atoll-jail-XXXXXX", inside[64], outside[64], named[64], scratch[64];
static int line_fd, named_fd, closed_fd = 1000;

static void forbidden(const char *thread, const char *call, int number) {
    char text[100];
    int n = snprintf(text, sizeof text, "%s %s %d", thread, call, number);
    (void)!write(line_fd, text, (size_t)n);
    _exit(FORBIDDEN);
}

struct attempt {
    bool (*deed)(void); /* true: done */
    int role;           /* enum jail_role; JAIL_ROLES: the first thread */
    bool tcp, makes_code;
    struct jail *jail;
};

static const char *const names[] = {"vcpu0", "disk", "folder", "loop"};

static void *other_thread(void *context) {
    struct attempt *a = context;
    prctl(PR_SET_NAME, names[a->role]);
    if (jail_thread(a->jail, (enum jail_role)a->role, NULL)) _exit(NO_JAIL);
    return (void *)(intptr_t)(a->deed() ? DONE : FAILED);
}

static void child(struct attempt *a) {
    const struct jail_path paths[] = {{.path = inside, .rights = JAIL_READ | JAIL_WRITE},
                                      {.path = "/proc/self", .rights = JAIL_READ},
                                      {.path = "/nowhere", .rights = JAIL_READ},
                                      {.rights = JAIL_READ, .fd = named_fd},
                                      {.path = scratch, .rights = JAIL_SCRATCH},
                                      {.rights = JAIL_READ, .fd = closed_fd},
                                      {.rights = JAIL_WRITE, .fd = line_fd}};
    struct jail_config config = {.paths = paths,
                                 .n_paths = sizeof paths / sizeof *paths,
                                 .tcp = a->tcp,
                                 .makes_code = a->makes_code,
                                 .forbidden = forbidden};
    pthread_t thread;
    void *result;
    if (jail_new(&config, &a->jail, NULL) || jail_enter(a->jail, NULL)) _exit(NO_JAIL);
    if (a->role == JAIL_ROLES) _exit(a->deed() ? DONE : FAILED);
    if (pthread_create(&thread, NULL, other_thread, a)) _exit(NO_JAIL);
    pthread_join(thread, &result);
    _exit((int)(intptr_t)result);
}

/* The exit status of a child that tried; its line in `line`. */
static int attempt(struct attempt a, char line[100]) {
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    line_fd = pipes[1];
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) child(&a);
    close(pipes[1]);
    ssize_t n = read(pipes[0], line, 99);
    line[n > 0 ? n : 0] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status)) fail_msg("the child died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void is_done(bool (*deed)(void), int role) {
    char line[100];
    int status = attempt((struct attempt){.deed = deed, .role = role, .tcp = true}, line);
    if (status != DONE) fail_msg("status %d, %s", status, line);
}

static void is_forbidden(bool (*deed)(void), int role, const char *call) {
    char line[100], expected[100];
    assert_int_equal(attempt((struct attempt){.deed = deed, .role = role, .tcp = true}, line), FORBIDDEN);
    snprintf(expected, sizeof expected, "%s %s ", names[role], call);
    if (strncmp(line, expected, strlen(expected))) fail_msg("\"%s\" and not \"%s\"", line, expected);
}

/* ---- deeds ---- */

static bool do_open_inside(void) {
    char path[100];
    snprintf(path, sizeof path, "%s/file", inside);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && unlinkat(AT_FDCWD, path, 0) == 0;
}
static bool do_open_outside(void) { return open(outside, O_RDONLY) < 0 && errno == EACCES; }
static bool do_make_outside(void) {
    char path[100];
    snprintf(path, sizeof path, "%s/new", dir);
    return open(path, O_RDWR | O_CREAT, 0600) < 0 && errno == EACCES;
}
static bool do_thread(void) {
    pthread_t thread;
    return !pthread_create(&thread, NULL, (void *(*)(void *))(void *)getenv, (void *)(uintptr_t) "HOME") &&
           !pthread_join(thread, NULL);
}
static bool do_memory(void) {
    void *p = malloc(64 << 20);
    bool done = p != NULL;
    free(p);
    return done && mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static bool do_socket(void) { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0; }
static bool do_no_privileges(void) {
    int fd = open("/proc/self/status", O_RDONLY);
    char text[8192];
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    unsigned long long effective = 0, bounding = 0;
    const char *cap = strstr(text, "CapEff:"), *bound = strstr(text, "CapBnd:"),
               *nnp = strstr(text, "NoNewPrivs:\t1");
    if (!cap || !bound || !nnp || !strstr(text, "Seccomp:\t2")) return false;
    sscanf(cap, "CapEff: %llx", &effective), sscanf(bound, "CapBnd: %llx", &bounding);
    unsigned long long kept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_NET_BIND_SERVICE;
    return !(effective & ~kept) && (geteuid() != 0 || !(bounding & ~kept));
}
static bool do_exec(void) { return execl("/bin/true", "true", (char *)NULL) == 0; }
static bool do_fork(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) > 0; }
static bool do_vfork(void) { return syscall(SYS_fork) > 0; }
static bool do_clone3(void) { return syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS; }
static bool do_ptrace(void) { return syscall(SYS_ptrace, 0, 0, 0, 0) == 0; }
static bool do_mount(void) { return syscall(SYS_mount, "none", "/", "tmpfs", 0, 0) == 0; }
static bool do_kill(void) { return kill(1, 0) == 0; }
static bool do_bpf(void) { return syscall(SYS_bpf, 0, NULL, 0) == 0; }
static bool do_setuid(void) { return syscall(SYS_setuid, 0) == 0; }
static bool do_handle(void) { return syscall(SYS_open_by_handle_at, -1, NULL, 0) >= 0; }
static bool do_execute_memory(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static bool do_raw_socket(void) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0; }
static bool do_netlink(void) { return socket(AF_NETLINK, SOCK_RAW, 0) >= 0; }
static bool do_type_into_terminal(void) { return ioctl(0, TIOCSTI, "x") == 0; }
static bool do_unknown(void) { return syscall(499) == 0; }
static bool do_connect(void) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    connect(fd, (struct sockaddr *)&a, sizeof a);
    return errno == EACCES;
}
/* What the C library's allocator does on a thread that gives memory back, and does without. */
static bool do_open_nothing(void) {
    return open("/proc/sys/vm/overcommit_memory", O_RDONLY) < 0 && errno == EACCES;
}
static bool do_open_old(void) { return syscall(SYS_open, outside, O_RDONLY) >= 0; }
static bool do_pwrite(void) { return pwrite(line_fd, "", 0, 0) == 0 || errno == ESPIPE; }
static bool do_unlink(void) { return unlinkat(AT_FDCWD, outside, 0) == 0; }
static bool do_kvm(void) { return ioctl(0, 0xAE80, 0) == 0; }
static bool do_send(void) { return send(0, "", 1, 0) == 1; }
static bool do_clone_thread(void) {
    return syscall(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0) > 0;
}
static bool do_open_named(void) { return open(named, O_RDONLY) >= 0; }
static bool do_write_named(void) { return open(named, O_RDWR) < 0 && errno == EACCES; }
static bool do_scratch(void) { return open(scratch, O_TMPFILE | O_RDWR, 0600) >= 0 || errno == EOPNOTSUPP; }
static bool do_list_scratch(void) { return open(scratch, O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES; }
static bool do_other_numbering(void) { return syscall(0x40000000 | SYS_getpid) > 0; } /* of 32-bit programs */

/* ---- tests ---- */

static void what_a_machine_needs_is_done(void **state) {
    (void)state;
    is_done(do_open_inside, JAIL_ROLES);
    is_done(do_thread, JAIL_ROLES);
    is_done(do_memory, JAIL_ROLES);
    is_done(do_memory, JAIL_VCPU);
    is_done(do_socket, JAIL_ROLES);
    is_done(do_clone3, JAIL_ROLES);
}

static void privileges_are_gone(void **state) {
    (void)state;
    is_done(do_no_privileges, JAIL_ROLES);
}

static bool has_landlock(void) { return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1; }

static void files_that_were_not_named_are_not_there(void **state) {
    (void)state;
    if (!has_landlock()) skip();
    is_done(do_open_outside, JAIL_ROLES);
    is_done(do_make_outside, JAIL_ROLES);
}

static void without_a_network_nothing_connects(void **state) {
    (void)state;
    char line[100];
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 4) skip();
    assert_int_equal(attempt((struct attempt){.deed = do_connect, .role = JAIL_ROLES}, line), DONE);
}

static void other_system_calls_end_the_process_by_name(void **state) {
    (void)state;
    static const struct {
        bool (*deed)(void);
        const char *call;
    } deeds[] = {{do_exec, "execve"},
                 {do_fork, "clone"},
                 {do_vfork, "fork"},
                 {do_ptrace, "ptrace"},
                 {do_mount, "mount"},
                 {do_kill, "kill"},
                 {do_bpf, "bpf"},
                 {do_setuid, "setuid"},
                 {do_handle, "open_by_handle_at"},
                 {do_execute_memory, "mmap"},
                 {do_raw_socket, "socket"},
                 {do_netlink, "socket"},
                 {do_type_into_terminal, "ioctl"},
                 {do_other_numbering, "?"},
                 {do_unknown, "?"}};
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (deeds[i].deed == do_fork || deeds[i].deed == do_ptrace) continue; /* sanitizers need them */
#endif
        is_forbidden(deeds[i].deed, JAIL_ROLES, deeds[i].call);
    }
}

static void a_processor_opens_and_connects_nothing(void **state) {
    (void)state;
    is_done(do_open_nothing, JAIL_VCPU);
    is_forbidden(do_open_old, JAIL_VCPU, "open");
    is_forbidden(do_socket, JAIL_VCPU, "socket");
    is_forbidden(do_exec, JAIL_VCPU, "execve");
    is_forbidden(do_execute_memory, JAIL_VCPU, "mmap");
    is_forbidden(do_pwrite, JAIL_VCPU, "pwrite64");
    is_forbidden(do_clone_thread, JAIL_VCPU, "clone");
}

static void a_disks_worker_moves_data_and_opens_nothing(void **state) {
    (void)state;
    is_done(do_memory, JAIL_DISK);
    is_done(do_pwrite, JAIL_DISK);
    is_done(do_open_nothing, JAIL_DISK);
    is_forbidden(do_socket, JAIL_DISK, "socket");
    is_forbidden(do_unlink, JAIL_DISK, "unlinkat");
    is_forbidden(do_kvm, JAIL_DISK, "ioctl");
    is_forbidden(do_send, JAIL_DISK, "sendto");
}

static void a_folders_worker_opens_what_is_named_and_connects_nothing(void **state) {
    (void)state;
    is_done(do_open_inside, JAIL_FOLDER);
    is_done(do_pwrite, JAIL_FOLDER);
    if (has_landlock()) is_done(do_open_outside, JAIL_FOLDER);
    is_forbidden(do_socket, JAIL_FOLDER, "socket");
    is_forbidden(do_kvm, JAIL_FOLDER, "ioctl");
    is_forbidden(do_clone_thread, JAIL_FOLDER, "clone");
    is_forbidden(do_exec, JAIL_FOLDER, "execve");
}

static void files_that_are_open_can_be_named(void **state) {
    (void)state;
    is_done(do_open_named, JAIL_ROLES);
    if (has_landlock()) is_done(do_write_named, JAIL_ROLES);
    is_done(do_scratch, JAIL_ROLES);
    if (has_landlock()) is_done(do_list_scratch, JAIL_ROLES);
}

static void an_engine_that_translates_executes_memory(void **state) {
    (void)state;
    char line[100];
    for (int role = 0; role <= JAIL_ROLES; role++) {
        struct attempt a = {.deed = do_execute_memory, .role = role, .makes_code = true};
        assert_int_equal(attempt(a, line), role == JAIL_VCPU || role == JAIL_ROLES ? DONE : FORBIDDEN);
    }
    struct attempt writes = {.deed = do_pwrite, .role = JAIL_VCPU, .makes_code = true};
    assert_int_equal(attempt(writes, line), DONE);
}

static int make_dirs(void **state) {
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(inside, sizeof inside, "%s/in", dir), snprintf(outside, sizeof outside, "%s/secret", dir);
    snprintf(named, sizeof named, "%s/named", dir), snprintf(scratch, sizeof scratch, "%s/scratch", dir);
    FILE *f = fopen(outside, "w");
    if (mkdir(inside, 0700) || mkdir(scratch, 0700) || !f || fclose(f)) return 1;
    return (named_fd = open(named, O_RDONLY | O_CREAT | O_CLOEXEC, 0600)) < 0;
}

static int remove_dirs(void **state) {
    (void)state;
    close(named_fd);
    return rmdir(inside) || rmdir(scratch) || unlink(outside) || unlink(named) || rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_machine_needs_is_done),
        cmocka_unit_test(privileges_are_gone),
        cmocka_unit_test(files_that_were_not_named_are_not_there),
        cmocka_unit_test(without_a_network_nothing_connects),
        cmocka_unit_test(other_system_calls_end_the_process_by_name),
        cmocka_unit_test(a_processor_opens_and_connects_nothing),
        cmocka_unit_test(a_disks_worker_moves_data_and_opens_nothing),
        cmocka_unit_test(a_folders_worker_opens_what_is_named_and_connects_nothing),
        cmocka_unit_test(files_that_are_open_can_be_named),
        cmocka_unit_test(an_engine_that_translates_executes_memory),
    };
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
