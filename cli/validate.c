/* cli/validate.c: is it a valid program? */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

enum { VALIDATE_JSON = 1 };
static const struct cli_flag flags[] = {
    {VALIDATE_JSON, "json", 0, NULL, "print an array with an object a file"}, {0}};

static void print_json_file(const char *path) {
    fputs("{\"file\": ", stdout);
    if (!cli_json_string(path)) return;
    fputs(", \"file_bytes\": \"", stdout);
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) printf("%02x", *c);
    putchar('"');
}

static void print_json(const char *path, enum atoll_status status, const struct atoll_error *err,
                       bool first) {
    fputs(first ? "[" : ",\n ", stdout);
    print_json_file(path);
    printf(", \"valid\": %s", status ? "false" : "true");
    if (status) {
        printf(", \"error\": {\"message\": ");
        cli_json_string(err->text);
        if (err->line) printf(", \"line\": %u, \"column\": %u", err->line, err->column);
        if (err->offset != ATOLL_NO_OFFSET) printf(", \"offset\": %llu", (unsigned long long)err->offset);
        putchar('}');
    }
    putchar('}');
}

static int check(const char *path, bool json, bool first) {
    struct cli_program program;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_program_open(path, true, &program, &err);
    cli_program_close(&program);
    if (json) print_json(path, status, &err, first);
    if (status && !json) return cli_input_failed(path, &err);
    return status == ATOLL_E_NOMEM ? CLI_INTERNAL : status ? CLI_FAILED : CLI_OK;
}

static int run_validate(struct cli_parser *p) {
    bool json = false;
    unsigned n = 0;
    int status = CLI_OK;
    const char **paths = (const char **)p->argv; /* arguments replace what was read */
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        if (id == VALIDATE_JSON) json = true;
        if (id == CLI_ARGUMENT) paths[n++] = p->value;
    }
    if (!n) return cli_usage(p->verb, "a file is missing");
    for (unsigned i = 0; i < n; i++) {
        int result = check(paths[i], json, i == 0);
        if (result > status) status = result;
    }
    if (json) printf("]\n");
    return status;
}

const struct cli_verb cli_verb_validate = {
    .name = "validate",
    .arguments = "FILE...",
    .summary = "check that programs are valid",
    .text = "Reads each FILE, binary or text, \"-\" meaning standard input, and prints for each one that is "
            "not a valid program what is wrong and where. The exit status is 1 when there is one, else 0.\n\n"
            "Objects of --json have \"file\", \"valid\" and, when not valid, \"error\" with \"message\" and "
            "\"line\" "
            "and \"column\" or \"offset\". In a name that is not UTF-8, U+FFFD stands for what is not; "
            "\"file_bytes\" then has the name in hexadecimal.",
    .flags = flags,
    .run = run_validate,
};
