/* Regular files: open flags, positions, sizes, append, pread and pwrite, what was closed. */
#include "guest.h"

int main(void) {
    char buffer[16] = "";
    SHOW(open("missing", O_RDONLY));
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0644);
    SHOW(open("a", O_RDWR | O_CREAT | O_EXCL, 0644));
    SHOW(write(fd, "0123456789", 10));
    SHOW(lseek(fd, 3, SEEK_SET));
    SHOW(read(fd, buffer, 4));
    printf("%s\n", buffer);
    SHOW(lseek(fd, 2, SEEK_CUR));
    SHOW(lseek(fd, -1, SEEK_END));
    SHOW(lseek(fd, -100, SEEK_CUR));
    SHOW(pwrite(fd, "XY", 2, 4));
    SHOW(pread(fd, buffer, 10, 0));
    printf("%.10s\n", buffer);
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(ftruncate(fd, 6));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(ftruncate(fd, 12));
    SHOW(pread(fd, buffer, 12, 0));
    for (int i = 0; i < 12; i++) printf("%02x", (unsigned char)buffer[i]);
    printf("\n");
    SHOW(ftruncate(fd, -1));
    SHOW(close(fd));
    SHOW(close(fd));
    SHOW(read(fd, buffer, 1));
    fd = open("a", O_WRONLY | O_APPEND);
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "end", 3));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(close(fd));
    fd = open("a", O_RDONLY);
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(write(fd, "x", 1) < 0);
    SHOW(close(fd));
    fd = open("a", O_WRONLY | O_TRUNC);
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(read(fd, buffer, 1) < 0);
    SHOW(close(fd));
    put_file("b", "text of b\n");
    show_file("b");
    SHOW(rename("b", "c"));
    show_file("b");
    show_file("c");
    SHOW(rename("missing", "d"));
    SHOW(unlink("c"));
    SHOW(unlink("c"));
    SHOW(open("c/", O_RDWR | O_CREAT, 0644) < 0);
    SHOW(open(".", O_RDWR) < 0);
    char name[300];
    memset(name, 'n', sizeof name);
    name[299] = 0;
    SHOW(open(name, O_RDWR | O_CREAT, 0644));
    return 7;
}
