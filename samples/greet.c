/* Arguments and variables: a program sees its arguments, and of the environment only what was granted. */
#include <stdio.h>
#include <stdlib.h>

static void show(const char *name) {
    const char *value = getenv(name);
    printf("%s is %s\n", name, value ? value : "not granted");
}

int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
    show("GREETING");
    show("HOME");
    return 0;
}
