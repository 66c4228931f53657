/* A filter: sorts the lines of standard input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(void) {
    char **lines = NULL, *line = NULL;
    size_t n = 0, capacity = 0, size = 0;
    while (getline(&line, &size, stdin) > 0) {
        if (n == capacity && !(lines = realloc(lines, (capacity = capacity * 2 + 16) * sizeof *lines)))
            return 1;
        if (!(lines[n++] = strdup(line))) return 1;
    }
    qsort(lines, n, sizeof *lines, compare);
    for (size_t i = 0; i < n; i++) fputs(lines[i], stdout);
    return ferror(stdin) || ferror(stdout);
}
