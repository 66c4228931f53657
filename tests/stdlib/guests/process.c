/* Arguments, variables, streams, exit status. */
#include <ctype.h>
#include "guest.h"

extern char **environ;

int main(int argc, char **argv) {
    int c, lines = 0;
    for (int i = 1; i < argc; i++) printf("argument %d \"%s\"\n", i, argv[i]);
    printf("COLOUR=%s\n", getenv("COLOUR") ? getenv("COLOUR") : "none");
    printf("EMPTY=%s.\n", getenv("EMPTY") ? getenv("EMPTY") : "none");
    while ((c = getchar()) != EOF) {
        putchar(toupper(c));
        lines += c == '\n';
    }
    fprintf(stderr, "%d lines\n", lines);
    printf("terminal %d\n", isatty(1));
    void *p = malloc(100 << 20); /* a heap that has to grow */
    if (p) memset(p, 1, 100 << 20);
    printf("memory %d\n", p != NULL);
    free(p);
    exit(42);
}
