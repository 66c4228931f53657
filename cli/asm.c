/* cli/asm.c: text to the binary format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "atoll/alloc.h"
#include "cli/cli.h"

enum { ASM_OUTPUT = 1, ASM_NO_CHECK };
static const struct cli_flag flags[] = {
    {ASM_OUTPUT, "output", 'o', "FILE",
     "where to write, \"-\" meaning standard output; else IN.wasm for IN.wat"},
    {ASM_NO_CHECK, "no-check", 0, NULL, "write what assembles, be it valid or not"},
    {0}};

/* IN with its extension replaced; the caller frees it. NULL = out of memory. */
static char *default_output(const char *in) {
    const char *slash = strrchr(in, '/'), *dot = strrchr(in, '.');
    size_t n = dot && dot > (slash ? slash + 1 : in) ? (size_t)(dot - in) : strlen(in);
    char *out = malloc(n + sizeof ".wasm");
    if (out) sprintf(out, "%.*s.wasm", (int)n, in);
    return out;
}

static int write_canonical(const char *in, const struct bc_module *m, const char *out) {
    struct bc_buf bytes;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    bc_buf_init(&bytes, &atoll_default_alloc);
    enum atoll_status status = bc_module_write(m, &bytes, &err);
    int result = status ? cli_input_failed(in, &err) : cli_file_write(out, bytes.data, bytes.size);
    bc_buf_fini(&bytes);
    return result;
}

static int assemble(const char *in, const char *out, bool check) {
    struct cli_program program;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_program_open(in, check, &program, &err);
    int result;
    if (status)
        result = cli_input_failed(in, &err);
    else if (program.bytes.size)
        result = cli_file_write(out, program.bytes.data, program.bytes.size);
    else
        result = write_canonical(in, program.module, out);
    cli_program_close(&program);
    return result;
}

static int run_asm(struct cli_parser *p) {
    const char *in = NULL, *out = NULL;
    bool check = true;
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        if (id == CLI_ARGUMENT && in) return cli_usage(p->verb, "unexpected argument \"%s\"", p->value);
        if (id == CLI_ARGUMENT) in = p->value;
        if (id == ASM_OUTPUT) out = p->value;
        if (id == ASM_NO_CHECK) check = false;
    }
    if (!in) return cli_usage(p->verb, "a file is missing");
    bool to_stdout = out ? !strcmp(out, "-") : !strcmp(in, "-");
    if (to_stdout && isatty(STDOUT_FILENO))
        return cli_usage(p->verb, "a terminal is no place for a binary: name a file with -o");
    char *name = out || to_stdout ? NULL : default_output(in);
    if (!out && !to_stdout && !name) {
        cli_message("out of memory");
        return CLI_INTERNAL;
    }
    int status;
    if (name && !strcmp(name, in))
        status = cli_usage(p->verb, "\"%s\" would be replaced: name the output with -o", in);
    else
        status = assemble(in, out ? out : name, check);
    free(name);
    return status;
}

const struct cli_verb cli_verb_asm = {
    .name = "asm",
    .arguments = "IN",
    .summary = "assemble a program in text format",
    .text = "Reads IN in the text format and writes it in the binary format. Identifiers go to the name "
            "section. A binary IN is written again in its shortest encoding. What is not valid is not "
            "written, unless --no-check says so. The output appears whole or not at all.",
    .flags = flags,
    .run = run_asm,
};
