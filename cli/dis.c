/* cli/dis.c: a program as text. */
#include "atoll/alloc.h"
#include "cli/cli.h"

enum { DIS_OUTPUT = 1, DIS_FOLD, DIS_OFFSETS, DIS_NO_NAMES };
static const struct cli_flag flags[] = {
    {DIS_OUTPUT, "output", 'o', "FILE", "where to write; else standard output"},
    {DIS_FOLD, "fold", 'f', NULL, "folded expressions instead of an instruction a line"},
    {DIS_OFFSETS, "offsets", 0, NULL, "each instruction's byte offset as a comment"},
    {DIS_NO_NAMES, "no-names", 0, NULL, "numbers instead of the names of the name section"},
    {0}};

static int print(const char *in, const struct bc_module *m, const char *out,
                 const struct bc_print_options *options) {
    struct cli_output output;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct bc_buf text;
    int result = cli_output_open(&output, out);
    if (result) return result;
    bc_buf_init(&text, &atoll_default_alloc);
    bc_buf_stream(&text, cli_output_write, &output);
    enum atoll_status status = bc_text_print(m, options, &text, &err);
    bc_buf_fini(&text);
    result = cli_output_close(&output, !status);
    return result || !status ? result : cli_input_failed(in, &err);
}

static int disassemble(const char *in, const char *out, const struct bc_print_options *options) {
    struct cli_program program;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_program_open(in, false, &program, &err);
    int result = status ? cli_input_failed(in, &err) : print(in, program.module, out, options);
    cli_program_close(&program);
    return result;
}

static int run_dis(struct cli_parser *p) {
    struct bc_print_options options = {0};
    const char *in = NULL, *out = NULL;
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        if (id == CLI_ARGUMENT && in) return cli_usage(p->verb, "unexpected argument \"%s\"", p->value);
        if (id == CLI_ARGUMENT) in = p->value;
        if (id == DIS_OUTPUT) out = p->value;
        if (id == DIS_FOLD) options.fold = true;
        if (id == DIS_OFFSETS) options.offsets = true;
        if (id == DIS_NO_NAMES) options.no_names = true;
    }
    if (!in) return cli_usage(p->verb, "a file is missing");
    return disassemble(in, out, &options);
}

const struct cli_verb cli_verb_dis = {
    .name = "dis",
    .arguments = "FILE",
    .summary = "print a program in text format",
    .text =
        "Prints FILE in the text format. \"atoll asm\" makes the same bytes of it again, when they were "
        "in their shortest encoding. A program need not be valid to be printed. With -o the output appears "
        "whole or not at all.",
    .flags = flags,
    .run = run_dis,
};
