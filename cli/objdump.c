/* cli/objdump.c: what is where in a program file. */
#include <string.h>
#include "atoll/alloc.h"
#include "cli/cli.h"

enum { OBJDUMP_HEADERS = 1, OBJDUMP_DETAILS, OBJDUMP_DISASSEMBLE, OBJDUMP_FULL, OBJDUMP_SECTION };
static const struct cli_flag flags[] = {
    {OBJDUMP_HEADERS, "headers", 'h', NULL, "the sections, their places and sizes"},
    {OBJDUMP_DETAILS, "details", 'x', NULL, "what is in each section"},
    {OBJDUMP_DISASSEMBLE, "disassemble", 'd', NULL, "the instructions beside their bytes"},
    {OBJDUMP_FULL, "full-contents", 's', NULL, "the bytes of each section"},
    {OBJDUMP_SECTION, "section", 'j', "NAME", "only this section: type, import, func, ... or custom"},
    {0}};

static int dump(const char *path, const struct bc_dump_options *options) {
    struct cli_program program;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct bc_buf text;
    int result = CLI_FAILED;
    bc_buf_init(&text, &atoll_default_alloc);
    enum atoll_status status = cli_program_open(path, false, &program, &err);
    if (!status) {
        bc_buf_text(&text, "%s: WebAssembly module, %zu bytes\n", path, program.module->n_bytes);
        status = bc_module_dump(program.module, options, &text, &err);
    }
    if (status)
        cli_error(path, &err);
    else
        result = cli_file_write(NULL, text.data, text.size);
    bc_buf_fini(&text);
    cli_program_close(&program);
    return result;
}

static bool is_section(const char *word) {
    bool known = !strcmp(word, "custom");
    for (unsigned id = 1; id < 14; id++) known |= !strcmp(word, bc_section_words[id]);
    return known;
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
    if (options.section && !is_section(options.section))
        return cli_usage(p->verb, "there is no section \"%s\"", options.section);
    if (!n) return cli_usage(p->verb, "a file is missing");
    if (!options.details && !options.disassemble && !options.full_contents) options.headers = true;
    for (unsigned i = 0; i < n; i++)
        if (dump(paths[i], &options)) status = CLI_FAILED;
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
