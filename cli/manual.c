/* cli/manual.c: the manual page and the shell completion, printed from the verbs' tables. */
#include <stdio.h>
#include "cli/cli.h"

/* ---- roff ---- */

/* Text as roff takes it: dashes and backslashes escaped, no line begins with a control character. */
static void print_roff(const char *text) {
    char previous = '\n';
    for (; *text; previous = *text++) {
        if (previous == '\n' && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (previous == '\n' && *text == '\n') fputs(".PP", stdout);
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
    }
    if (previous != '\n') putchar('\n');
}

static void print_flag_roff(const struct cli_flag *flag) {
    printf(".TP\n\\fB");
    if (flag->letter) printf("\\-%c\\fR, \\fB", flag->letter);
    fputs("\\-\\-", stdout);
    for (const char *c = flag->name; *c; c++) fputs(*c == '-' ? "\\-" : (char[]){*c, 0}, stdout);
    if (flag->value) printf("\\fR \\fI%s", flag->value);
    printf("\\fR\n");
    print_roff(flag->help);
}

static void print_verb_roff(const struct cli_verb *verb) {
    printf(".SS \"atoll %s %s\"\n", verb->name, verb->arguments);
    print_roff(verb->text);
    for (const struct cli_flag *flag = verb->flags; flag && flag->name; flag++) print_flag_roff(flag);
}

static const struct {
    int status;
    const char *meaning;
} exits[] = {
    {CLI_OK, "all went well"},
    {CLI_FAILED, "validate, asm, dis, objdump: the input is broken"},
    {CLI_USAGE, "wrong flags or arguments"},
    {CLI_TIMEOUT, "run, boot: --timeout ended the program or the guest"},
    {CLI_INTERNAL,
     "output that cannot be written, memory that ran out, or another fault of atoll's own; run: a "
     "grant that cannot be given"},
    {CLI_NOT_LOADABLE, "run, boot: the file is no program or kernel that can be started"},
    {CLI_NOT_FOUND, "run, boot: there is no such file"},
    {CLI_SIGNAL + 2, "run, boot: Ctrl-C ended the program or the guest (143: SIGTERM)"},
    {CLI_TRAP, "run: the program trapped; fuel that ran out is a trap"},
    {CLI_PANIC, "boot: the guest's kernel panicked, or the guest crashed"},
};

void cli_manual_roff(void) {
    printf(".TH ATOLL 1 \"\" \"atoll %s\" \"User Commands\"\n", ATOLL_VERSION);
    printf(".SH NAME\natoll \\- run portable programs and guest systems in a sandbox\n"
           ".SH SYNOPSIS\n.B atoll\n.I VERB\n[\\fIFLAGS\\fR] ...\n.br\n"
           ".B atoll\n[\\fIFLAGS OF run\\fR] \\fIPROGRAM\\fR [\\fIARGS\\fR...]\n"
           ".SH DESCRIPTION\n");
    print_roff("Atoll runs WebAssembly programs, in binary or text format. A program reaches files, "
               "variables and sockets only as far as flags grant them.");
    printf(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n");
    print_roff("list the verbs; behind a verb, explain it");
    printf(".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\n");
    print_roff("print the version");
    printf(".SH VERBS\n");
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++) print_verb_roff(*verb);
    printf(".SH EXIT STATUS\nA program's own exit status is passed through.\n");
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        printf(".TP\n.B %d\n", exits[i].status);
        print_roff(exits[i].meaning);
    }
}

/* ---- bash ---- */

static void print_words(const struct cli_verb *verb) {
    for (const struct cli_flag *flag = verb->flags; flag && flag->name; flag++) printf("--%s ", flag->name);
    printf("--help");
}

static void print_features(void) {
    static const char *const words[] = {
#define X(id, word) word,
        BC_FEATURE_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) printf("%s%s", i ? " " : "", words[i]);
}

void cli_manual_bash(void) {
    printf("# Completion for atoll, made by \"atoll help --completion bash\".\n"
           "_atoll() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words=\n"
           "    local before=${COMP_WORDS[COMP_CWORD - 1]} verbs=\"");
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++)
        printf("%s%s", verb == cli_verbs ? "" : " ", (*verb)->name);
    printf("\"\n    if [[ $before == --enable || $before == --disable ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"");
    print_features();
    printf("\" -- \"$word\")\n        return\n"
           "    elif ((COMP_CWORD == 2)) && [[ $verb == help && $word != -* ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$word\")\n        return\n"
           "    elif ((COMP_CWORD == 1)) && [[ $word != -* ]]; then\n"
           "        words=$verbs\n    elif [[ $word == -* ]]; then\n        case $verb in\n");
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++) {
        printf("        %s) words=\"", (*verb)->name);
        print_words(*verb);
        printf("\" ;;\n");
    }
    printf("        *) words=\"");
    print_words(&cli_verb_run);
    printf(
        " --version\" ;;\n        esac\n    fi\n"
        "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\"; [[ $word == -* ]] || compgen -f -- "
        "\"$word\")\n}\n"
        "complete -o filenames -F _atoll atoll\n");
}
