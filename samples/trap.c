/* A fault: the program stops with a message and a backtrace, the host is unharmed, the exit status is 134. */
#include <stdio.h>

__attribute__((noinline)) static int ratio(int part, int whole) { return part / whole; }
__attribute__((noinline)) static int percent(int n) { return 100 * ratio(n, n - 3); }

int main(int argc, char **argv) {
    (void)argv;
    printf("dividing by zero ...\n");
    fflush(stdout);
    return percent(argc + 2);
}
