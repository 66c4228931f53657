/* Directories: making, listing, removing, paths through them. */
#include "guest.h"

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    char *names[600];
    int n = 0;
    DIR *d = opendir(path);
    if (!d) {
        printf("%s: %s\n", path, error_name(errno));
        return;
    }
    for (struct dirent *e; n < 600 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) names[n++] = strdup(e->d_name);
    closedir(d);
    qsort(names, (size_t)n, sizeof *names, by_name);
    printf("%s: %d", path, n);
    for (int i = 0; i < n && i < 5; i++) printf(" %s", names[i]);
    printf("\n");
}

/* Each place that telldir tells leads to the entry behind it, whatever the size of long. */
static void go_back_to_each_place(DIR *d) {
    static long places[600];
    static char *names[600];
    int n = 0, wrong = 0;
    rewinddir(d);
    for (struct dirent *e; n < 600 && (places[n] = telldir(d), e = readdir(d)); n++)
        names[n] = strdup(e->d_name);
    for (int i = 0, k = 0; i < n; i++, k = (k + 211) % n) {
        seekdir(d, places[k]);
        struct dirent *e = readdir(d);
        wrong += !e || strcmp(e->d_name, names[k]) != 0;
    }
    printf("%d places of %d lead elsewhere\n", wrong, n);
}

int main(void) {
    char name[300];
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("x/y", 0755));
    SHOW(mkdir("d/e", 0755));
    put_file("d/e/f", "deep");
    show_file("d/e/f");
    show_file("d/./e/../e/f");
    show_file("d//e///f");
    show_file("d/e/f/");
    show_file("d/e/f/g");
    SHOW(rmdir("d"));
    SHOW(rmdir("d/e/f"));
    SHOW(unlink("d/e") < 0);
    list("d");
    list(".");
    list("missing");
    list("d/e/f");
    for (int i = 0; i < 500; i++) { /* more than one buffer of entries, with long names */
        snprintf(name, sizeof name, "d/%03d-%0*d", i, 20 + i % 200, 0);
        put_file(name, "");
    }
    list("d");
    DIR *d = opendir("d");
    int before = 0, after = 0;
    for (; readdir(d); before++)
        ;
    printf("%d entries\n", before);
    rewinddir(d);
    for (after = 0; readdir(d); after++)
        ;
    printf("%d again\n", after);
    go_back_to_each_place(d);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "d/%03d-%0*d", i, 20 + i % 200, 0);
        if (unlink(name)) printf("%s: %s\n", name, error_name(errno));
    }
    closedir(d);
    SHOW(rename("d/e", "g"));
    show_file("g/f");
    SHOW(rename("g", "g/h") < 0);
    SHOW(unlink("g/f"));
    SHOW(rmdir("g"));
    SHOW(rmdir("d"));
    list(".");
    return 0;
}
