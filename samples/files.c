/* Files: a granted directory can be used, and nothing outside it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int copy_in(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) return 1;
    fputs("written inside the sandbox\n", file);
    return fclose(file);
}

static void show(const char *path) {
    char line[80];
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("%s: refused (%s)\n", path, strerror(errno));
        return;
    }
    if (fgets(line, sizeof line, file)) printf("%s: %s", path, line);
    fclose(file);
}

int main(void) {
    if (copy_in("/data/note.txt")) perror("/data/note.txt");
    show("/data/note.txt");
    show("/data/../../../../etc/passwd");
    show("/etc/passwd");
    return 0;
}
