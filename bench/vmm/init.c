/* bench/vmm/init.c: a guest's first program, which says that it is there. */
#include <unistd.h>

int main(void) {
    static const char word[] = "init is here\n";
    ssize_t n = write(1, word, sizeof word - 1);
    (void)n;
    for (;;) pause();
}
