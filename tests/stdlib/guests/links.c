/* Links, hard and symbolic: made, read, followed, dangling, in a circle; never out of the grant. */
#include "guest.h"

int main(void) {
    char target[100] = "";
    struct stat st;
    put_file("a", "content");
    SHOW(symlink("a", "s"));
    SHOW(readlink("s", target, sizeof target));
    printf("%s\n", target);
    show_file("s");
    SHOW(lstat("s", &st));
    printf("link %d\n", S_ISLNK(st.st_mode));
    SHOW(stat("s", &st));
    printf("file %d size %d\n", S_ISREG(st.st_mode), (int)st.st_size);
    SHOW(open("s", O_RDONLY | O_NOFOLLOW));
    SHOW(readlink("a", target, sizeof target));
    SHOW(symlink("nowhere", "dangling"));
    show_file("dangling");
    SHOW(symlink("two", "one"));
    SHOW(symlink("one", "two"));
    show_file("one");
    SHOW(mkdir("d", 0755));
    SHOW(symlink("../a", "d/up"));
    show_file("d/up");
    SHOW(symlink("d", "dlink"));
    show_file("dlink/up");
    SHOW(symlink("a", "s"));
    SHOW(unlink("s"));
    show_file("a");
    SHOW(link("a", "h"));
    put_file("h", "changed through the other name");
    show_file("a");
    SHOW(stat("a", &st));
    printf("links %d\n", (int)st.st_nlink);
    SHOW(link("missing", "x"));
    SHOW(link("a", "h"));
    SHOW(rename("dlink", "moved"));
    show_file("moved/up");
    return 0;
}
