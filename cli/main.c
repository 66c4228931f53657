/* cli/main.c: finds the verb and hands over. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"

const struct cli_verb *const cli_verbs[] = {
#define X(name) &cli_verb_##name,
    CLI_VERB_LIST(X)
#undef X
        NULL};
static const char *const verb_names[] = {
#define X(name) #name,
    CLI_VERB_LIST(X)
#undef X
        NULL};

const struct cli_verb *cli_verb_find(const char *name) {
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++)
        if (strcmp((*verb)->name, name) == 0) return *verb;
    return NULL;
}

static int call(const struct cli_verb *verb, int argc, char **argv) {
    struct cli_parser parser = {.verb = verb, .argc = argc, .argv = argv};
    return verb->run(&parser);
}

static int unknown_verb(const char *word) {
    const char *near = cli_nearest(word, verb_names);
    if (near)
        cli_message("unknown verb \"%s\" (did you mean \"%s\"?); see \"atoll help\"", word, near);
    else
        cli_message("unknown verb \"%s\", and no such file; see \"atoll help\"", word);
    return CLI_USAGE;
}

static bool is_alone(const char *word) { return strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0; }

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        cli_message("a verb or a program is missing; see \"atoll help\"");
        return CLI_USAGE;
    }
    const char *word = argv[1];
    const struct cli_verb *verb = cli_verb_find(word);
    if (verb) return call(verb, argc - 2, argv + 2);
    if (argc > 2 && is_alone(word)) {
        cli_message("%s stands alone, without \"%s\"; see \"atoll help\"", word, argv[2]);
        return CLI_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli_help_general();
        return CLI_OK;
    }
    if (is_alone(word)) {
        printf("atoll %s\n", ATOLL_VERSION);
        return CLI_OK;
    }
    /* `atoll FILE` and `atoll --dir . FILE` mean `atoll run ...`. */
    if (word[0] == '-' || strchr(word, '/') || access(word, F_OK) == 0)
        return call(&cli_verb_run, argc - 1, argv + 1);
    return unknown_verb(word);
}

/* A stream closed by the caller stays without use, and no file opened later takes its number: a granted
 * directory would become the program's standard input. Opened the wrong way round it fails as a closed one.
 */
static bool hold_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return false;
    return true;
}

int main(int argc, char **argv) {
    if (!hold_standard_streams()) return CLI_INTERNAL;
    signal(SIGXFSZ, SIG_IGN); /* a file larger than `ulimit -f` is a failed write, of a program's too */
    return cli_finish(dispatch(argc, argv));
}
