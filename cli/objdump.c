/* cli/objdump.c: what is where in a program file. */
#include "atoll/alloc.h"
#include "cli/cli.h"

enum { OBJDUMP_HEADERS = 1, OBJDUMP_DETAILS, OBJDUMP_DISASSEMBLE, OBJDUMP_FULL, OBJDUMP_SECTION };
static const struct cli_flag flags[] = {
    {OBJDUMP_HEADERS, "headers", 'h', NULL, "the sections, their places and sizes"},
    {OBJDUMP_DETAILS, "details", 'x', NULL, "what is in each section"},
    {OBJDUMP_DISASSEMBLE, "disassemble", 'd', NULL, "the instructions beside their bytes"},
    {OBJDUMP_FULL, "full-contents", 's', NULL, "the bytes of each section"},
    {OBJDUMP_SECTION, "section", 'j', "NAME",
     "only sections of this name: type, import, ... custom, or a custom one's own"},
    {0}};

static int print(const char *path, const struct bc_module *m, const struct bc_dump_options *options) {
    struct cli_output output;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct bc_buf text;
    cli_output_open(&output, NULL);
    bc_buf_init(&text, &atoll_default_alloc);
    bc_buf_stream(&text, cli_output_write, &output);
    bc_buf_text(&text, "%s: WebAssembly module, %zu bytes\n", path, m->n_bytes);
    enum atoll_status status = bc_module_dump(m, options, &text, &err);
    bc_buf_fini(&text);
    int result = cli_output_close(&output, true);
    return result || !status ? result : cli_input_failed(path, &err);
}

static int dump(const char *path, const struct bc_dump_options *options) {
    struct cli_program program;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_program_open(path, false, &program, &err);
    int result;
    if (status) {
        result = cli_input_failed(path, &err);
    } else if (options->section && !bc_module_has_section(program.module, options->section)) {
        cli_message("%s: there is no section \"%s\"", path, options->section);
        result = CLI_FAILED;
    } else {
        result = print(path, program.module, options);
    }
    cli_program_close(&program);
    return result;
}

static int run_objdump(struct cli_parser *p) {
    struct bc_dump_options options = {0};
    const char **paths = (const char **)p->argv; /* arguments replace what was read */
    unsigned n = 0;
    int status = CLI_OK;
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        if (id == CLI_ARGUMENT) paths[n++] = p->value;
        if (id == OBJDUMP_HEADERS) options.headers = true;
        if (id == OBJDUMP_DETAILS) options.details = true;
        if (id == OBJDUMP_DISASSEMBLE) options.disassemble = true;
        if (id == OBJDUMP_FULL) options.full_contents = true;
        if (id == OBJDUMP_SECTION) options.section = p->value;
    }
    if (!n) return cli_usage(p->verb, "a file is missing");
    if (!options.details && !options.disassemble && !options.full_contents) options.headers = true;
    for (unsigned i = 0; i < n && status != CLI_INTERNAL; i++) {
        int result = dump(paths[i], &options);
        if (result) status = result;
    }
    return status;
}

const struct cli_verb cli_verb_objdump = {
    .name = "objdump",
    .arguments = "FILE...",
    .summary = "list sections, contents and instructions of a program file",
    .text = "Lists what is where in each FILE, with byte offsets. Without a flag that chooses, the sections.",
    .flags = flags,
    .run = run_objdump,
};
