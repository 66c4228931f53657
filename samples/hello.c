/* The smallest program: what a portable program prints arrives on the host's standard output. */
#include <stdio.h>

int main(void) {
    puts("Hello from a portable program");
    return 0;
}
