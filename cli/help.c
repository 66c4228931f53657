/* cli/help.c: the help verb, and help as every verb prints it. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

void cli_help_general(void) {
    printf("atoll %s: runs portable programs (WebAssembly) in a sandbox\n\n"
           "usage: atoll VERB [FLAGS] ...\n"
           "       atoll [FLAGS OF run] PROGRAM [ARGS...]\n\n",
           ATOLL_VERSION);
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++)
        printf("  %-10s %s\n", (*verb)->name, (*verb)->summary);
    printf("\n\"atoll help VERB\" explains a verb, \"atoll --version\" prints the version.\n");
}

static void print_flag(const struct cli_flag *flag) {
    char left[64];
    int n = flag->letter ? snprintf(left, sizeof left, "-%c, --%s", flag->letter, flag->name)
                         : snprintf(left, sizeof left, "    --%s", flag->name);
    if (flag->value) snprintf(left + n, sizeof left - (size_t)n, " %s", flag->value);
    if (strlen(left) > 30)
        printf("  %s\n  %-30s %s\n", left, "", flag->help);
    else
        printf("  %-30s %s\n", left, flag->help);
}

void cli_help_verb(const struct cli_verb *verb) {
    printf("usage: atoll %s%s%s%s\n\n%s\n", verb->name, verb->flags ? " [FLAGS]" : "",
           verb->arguments[0] ? " " : "", verb->arguments, verb->text);
    if (verb->flags) printf("\nflags:\n");
    for (const struct cli_flag *flag = verb->flags; flag && flag->name; flag++) print_flag(flag);
    bool h_is_free = true;
    for (const struct cli_flag *flag = verb->flags; flag && flag->name; flag++)
        h_is_free &= flag->letter != 'h';
    printf("  %-30s %s\n", h_is_free ? "-h, --help" : "    --help", "print this");
}

enum { HELP_MAN = 1, HELP_COMPLETION };
static const struct cli_flag flags[] = {
    {HELP_MAN, "man", 0, NULL, "print the manual page atoll(1)"},
    {HELP_COMPLETION, "completion", 0, "SHELL", "print the completion script for a shell: bash"},
    {0}};

static int help_for(const char *name) {
    const struct cli_verb *verb = cli_verb_find(name);
    if (verb) {
        cli_help_verb(verb);
        return CLI_OK;
    }
    return cli_usage(&cli_verb_help, "there is no verb \"%s\"", name);
}

static int run_help(struct cli_parser *p) {
    for (;;) {
        switch (cli_next(p)) {
        case CLI_END: cli_help_general(); return CLI_OK;
        case CLI_ARGUMENT:
            if (p->at < p->argc)
                return cli_usage(p->verb, "one verb at a time, not \"%s\" too", p->argv[p->at]);
            return help_for(p->value);
        case HELP_MAN: cli_manual_roff(); return CLI_OK;
        case HELP_COMPLETION:
            if (strcmp(p->value, "bash") != 0) return cli_usage(p->verb, "no completion for %s", p->value);
            cli_manual_bash();
            return CLI_OK;
        case CLI_HELP: return CLI_OK;
        default: return CLI_USAGE;
        }
    }
}

const struct cli_verb cli_verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "explain a verb",
    .text = "Lists the verbs, or explains one.",
    .flags = flags,
    .run = run_help,
};
