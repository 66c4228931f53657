/* tests/sysvm/boot/break_out.c: loaded into atoll by LD_PRELOAD, does on one of its threads what a guest that had
 * taken that thread over would do. BREAK_OUT=loop: trace; vcpu0, disk, folder: connect; the others live on. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int wanted(const char *thread) {
    const char *word = getenv("BREAK_OUT");
    return word && !strcmp(word, thread);
}

__attribute__((visibility("default"))) int epoll_wait(int epoll, struct epoll_event *events, int n,
                                                      int timeout) {
    if (wanted("loop")) syscall(SYS_ptrace, 0, 0, 0, 0);
    return (int)syscall(SYS_epoll_pwait, epoll, events, n, timeout, NULL, 8);
}

static const char *name_of(char name[16]) {
    name[0] = 0;
    prctl(PR_GET_NAME, name);
    return name;
}

static int (*find(const char *function))(void *, void *) {
    void *next = dlsym(RTLD_NEXT, function);
    int (*out)(void *, void *);
    memcpy(&out, &next, sizeof out);
    return out;
}

/* A processor takes a lock when its guest says something. */
__attribute__((visibility("default"))) int pthread_mutex_lock(pthread_mutex_t *mutex) {
    char name[16];
    if (wanted("vcpu0") && !strcmp(name_of(name), "vcpu0")) syscall(SYS_connect, -1, NULL, 0);
    return find("pthread_mutex_lock")(mutex, NULL);
}

/* Workers wait like this for something to do. */
__attribute__((visibility("default"))) int pthread_cond_wait(pthread_cond_t *condition,
                                                             pthread_mutex_t *mutex) {
    char name[16];
    if ((!strcmp(name_of(name), "disk") || !strcmp(name, "folder")) && wanted(name))
        syscall(SYS_connect, -1, NULL, 0);
    return find("pthread_cond_wait")(condition, mutex);
}
