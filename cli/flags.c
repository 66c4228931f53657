/* cli/flags.c: reads a verb's arguments by its table. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

int cli_usage(const struct cli_verb *verb, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_message("%s: %s; see \"atoll help %s\"", verb->name, text, verb->name);
    return CLI_USAGE;
}

/* ---- parser ---- */

static const struct cli_flag no_flags[] = {{0}};

static const struct cli_flag *flags_of(const struct cli_parser *p) {
    return p->verb->flags ? p->verb->flags : no_flags;
}

static const struct cli_flag *find_name(const struct cli_parser *p, const char *name, size_t size) {
    for (const struct cli_flag *flag = flags_of(p); flag->name; flag++)
        if (strlen(flag->name) == size && memcmp(flag->name, name, size) == 0) return flag;
    return NULL;
}

static const struct cli_flag *find_letter(const struct cli_parser *p, char letter) {
    for (const struct cli_flag *flag = flags_of(p); flag->name; flag++)
        if (flag->letter && flag->letter == letter) return flag;
    return NULL;
}

static int unknown_flag(const struct cli_parser *p, const char *name, size_t size) {
    enum { FLAGS_MAX = 64, WORD_MAX = 32 }; /* longer ones are near to none */
    const char *names[FLAGS_MAX + 1] = {NULL};
    size_t n = 0;
    for (const struct cli_flag *flag = flags_of(p); flag->name && n < FLAGS_MAX; flag++)
        names[n++] = flag->name;
    char word[WORD_MAX + 1];
    snprintf(word, sizeof word, "%.*s", (int)size, name);
    const char *near = size <= WORD_MAX ? cli_nearest(word, names) : NULL;
    if (near)
        cli_usage(p->verb, "unknown flag --%.*s (did you mean --%s?)", (int)size, name, near);
    else
        cli_usage(p->verb, "unknown flag --%.*s", (int)size, name);
    return CLI_BAD;
}

/* The flag's value: `attached`, or the next argument. */
static int take_value(struct cli_parser *p, const struct cli_flag *flag, const char *attached) {
    if (!flag->value) return flag->id;
    if (!attached && p->at >= p->argc) {
        cli_usage(p->verb, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
        return CLI_BAD;
    }
    p->value = attached ? attached : p->argv[p->at++];
    return flag->id;
}

static int next_long(struct cli_parser *p, const char *name) {
    const char *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_flag *flag = find_name(p, name, size);
    if (!flag && size == 4 && memcmp(name, "help", 4) == 0) {
        cli_help_verb(p->verb);
        return CLI_HELP;
    }
    if (!flag) return unknown_flag(p, name, size);
    if (equals && !flag->value) {
        cli_usage(p->verb, "--%s takes no value", flag->name);
        return CLI_BAD;
    }
    return take_value(p, flag, equals ? equals + 1 : NULL);
}

static int next_letter(struct cli_parser *p) {
    char letter = *p->letters++;
    const char *rest = p->letters;
    const struct cli_flag *flag = find_letter(p, letter);
    if (!flag && letter == 'h') {
        cli_help_verb(p->verb);
        return CLI_HELP;
    }
    if (!flag) {
        cli_usage(p->verb, "unknown flag -%c", letter);
        return CLI_BAD;
    }
    if (flag->value || !*rest) p->letters = NULL;
    return take_value(p, flag, flag->value && *rest ? rest : NULL);
}

int cli_next(struct cli_parser *p) {
    p->value = NULL;
    if (p->letters) return next_letter(p);
    if (p->at >= p->argc) return CLI_END;
    const char *word = p->argv[p->at++];
    if (!p->flags_ended && word[0] == '-' && word[1]) {
        if (word[1] != '-') {
            p->letters = word + 1;
            return next_letter(p);
        }
        if (word[2]) return next_long(p, word + 2);
        p->flags_ended = true;
        return cli_next(p);
    }
    if (p->verb->first_argument_ends_flags) p->flags_ended = true;
    p->value = word;
    return CLI_ARGUMENT;
}
