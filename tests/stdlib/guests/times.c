/* Times of files, set and read back. */
#include <time.h>
#include "guest.h"

static void show(const char *path) {
    struct stat st;
    if (stat(path, &st)) {
        printf("%s: %s\n", path, error_name(errno));
        return;
    }
    printf("%s: %lld.%09ld %lld.%09ld\n", path, (long long)st.st_atim.tv_sec, (long)st.st_atim.tv_nsec,
           (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
}

int main(void) {
    struct timespec times[2] = {{1000000000, 123456789}, {1500000000, 987654321}}, now;
    put_file("a", "x");
    SHOW(utimensat(AT_FDCWD, "a", times, 0));
    show("a");
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = 1600000000;
    SHOW(utimensat(AT_FDCWD, "a", times, 0));
    show("a");
    int fd = open("a", O_RDWR);
    times[0] = (struct timespec){1, 2};
    times[1] = (struct timespec){3, 4};
    SHOW(futimens(fd, times));
    show("a");
    SHOW(utimensat(AT_FDCWD, "missing", times, 0));
    put_file("b", "new");
    close(fd);
    fd = open("b", O_RDWR);
    struct stat st;
    SHOW(fstat(fd, &st));
    SHOW(clock_gettime(CLOCK_REALTIME, &now));
    printf("recent %d %d\n", now.tv_sec - st.st_atim.tv_sec < 100, now.tv_sec - st.st_mtim.tv_sec < 100);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    SHOW(nanosleep(&(struct timespec){0, 20000000}, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("slept %d\n",
           (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec >= 20000000);
    return 0;
}
