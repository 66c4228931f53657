/* A program that wants out of the directory it was granted: by names, links planted and made, renames, and a directory
 * that the host swaps with a link meanwhile. Exits with the number of ways out. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int ways_out;

static void refused(int result, const char *what) {
    if (result < 0) return;
    printf("%s: allowed\n", what);
    ways_out++;
}
#define REFUSED(call) refused((call), #call)

/* What a name leads to, if anything, is not the secret. */
static void no_secret(const char *path) {
    char text[16] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0) return;
    if (read(fd, text, sizeof text - 1) > 0 && strstr(text, "secret")) {
        printf("%s: read\n", path);
        ways_out++;
    }
    close(fd);
}

static void names(void) {
    static const char *const paths[] = {"../secret",  "sub/../../secret", "./.././secret",
                                        "/../secret", "/etc/passwd",      "sub/../../in/../secret",
                                        "..",         "sub/../.."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        refused(open(paths[i], O_RDONLY), paths[i]);
        refused(open(paths[i], O_RDWR | O_CREAT | O_TRUNC, 0644), paths[i]);
    }
    REFUSED(mkdir("../made", 0755));
    REFUSED(unlink("../secret"));
    REFUSED(rename("file", "../file"));
    REFUSED(rename("../secret", "mine"));
    REFUSED(link("../secret", "mine"));
    REFUSED(link("file", "../file"));
    DIR *above = opendir("..");
    refused(above ? 0 : -1, "opendir(..)");
}

static void links(void) {
    struct stat st;
    no_secret("up"); /* planted by the host: ../secret, and the absolute path */
    no_secret("absolute");
    no_secret("dir/secret"); /* dir -> .. */
    REFUSED(open("up", O_WRONLY | O_TRUNC));
    REFUSED(stat("up", &st));
    REFUSED(rename("file", "dir/file"));
    REFUSED(symlink("/etc/passwd", "etc"));
    if (!symlink("../secret", "made")) no_secret("made");
    if (!symlink("../new", "dangling")) REFUSED(open("dangling", O_WRONLY | O_CREAT, 0644));
    if (!mkdir("deep", 0755) && !symlink("../../secret", "deep/link") && !rename("deep/link", "shallow"))
        no_secret("shallow");
}

static void race(void) {
    for (int i = 0; i < 3000; i++) {
        no_secret("swap/secret");
        int fd = open("swap/new", O_WRONLY | O_CREAT, 0644); /* lands inside or nowhere: the host looks */
        if (fd >= 0) close(fd);
    }
}

int main(void) {
    names();
    links();
    race();
    return ways_out;
}
