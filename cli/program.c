/* cli/program.c: program files: which format they are in, and what the verbs that only look at them need. */
#include <string.h>
#include "atoll/alloc.h"
#include "cli/cli.h"
#include "cli/saved.h"

/* ---- bytes ---- */

static bool is_named(const char *path, const char *suffix) {
    size_t size = strlen(path), n = strlen(suffix);
    return size > n && strcmp(path + size - n, suffix) == 0;
}

/* Text begins with a blank, a parenthesis or a comment. */
static bool begins_as_program(const uint8_t *head) {
    return memcmp(head, "\0asm", 4) == 0 || saved_begins(head) || (head[0] && strchr(" \t\r\n(;", head[0]));
}

/* A file called .wasm that holds neither format is taken for a broken binary, others for broken text. */
static enum atoll_status check_head(const char *path, const struct cli_file *file, struct atoll_error *err) {
    bool doubtful = file->size >= CLI_FILE_HEAD && !begins_as_program(file->bytes);
    if (!doubtful || (!is_named(path, ".wasm") && !bc_is_binary(file->bytes, file->size))) return ATOLL_OK;
    return atoll_fail(err, ATOLL_E_MALFORMED, 0, "magic header not detected: no program");
}

static uint64_t wanted_by_tools(const uint8_t *bytes, size_t n) {
    return begins_as_program(bytes) ? UINT64_MAX : n;
}
static uint64_t wanted_to_run(const uint8_t *bytes, size_t n) {
    return saved_begins(bytes) ? saved_wanted(bytes, n) : wanted_by_tools(bytes, n);
}

static enum atoll_status check(const char *path, struct cli_file *file, int fd, struct atoll_error *err) {
    enum atoll_status status = check_head(path, file, err);
    if (!status && !file->size && is_named(path, ".wat")) file->bytes[file->size++] = '\n';
    struct saved parts;
    if (!status && file->size >= CLI_FILE_HEAD && saved_begins(file->bytes) &&
        !saved_parse(file->bytes, file->size, fd, &parts))
        return atoll_fail(err, ATOLL_E_MALFORMED, 0, "a broken file of compiled code");
    return status;
}

enum atoll_status cli_program_read(const char *path, struct cli_file *out, struct atoll_error *err) {
    enum atoll_status status = cli_file_read(path, BC_MAX_MODULE_BYTES, wanted_by_tools, out, err);
    return status ? status : check(path, out, -1, err);
}

enum atoll_status cli_program_read_to_run(const char *path, struct cli_file *out, int *out_fd,
                                          struct atoll_error *err) {
    enum atoll_status status = cli_file_read_part(path, BC_MAX_MODULE_BYTES, wanted_to_run, out, out_fd, err);
    return status ? status : check(path, out, *out_fd, err);
}

/* ---- modules ---- */

static enum atoll_status assemble(struct cli_program *p, struct atoll_error *err) {
    p->map = atoll_new(&atoll_default_alloc, 1, sizeof *p->map);
    if (!p->map) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    enum atoll_status status =
        bc_text_assemble((const char *)p->file.bytes, p->file.size, NULL, &p->bytes, p->map, err);
    if (!status && p->bytes.failed) status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return status;
}

/* Tools know every feature, be it off by default or not. */
static const struct bc_config everything = {.features = ~UINT64_C(0)};

enum atoll_status cli_program_open(const char *path, bool validate, struct cli_program *p,
                                   struct atoll_error *err) {
    *p = (struct cli_program){0};
    bc_buf_init(&p->bytes, &atoll_default_alloc);
    enum atoll_status status = cli_program_read(path, &p->file, err);
    if (status) return status;
    const uint8_t *bytes = p->file.bytes;
    size_t n_bytes = p->file.size;
    struct saved parts;
    if (saved_parse(p->file.bytes, n_bytes, -1, &parts)) { /* tools look at the program in it */
        bytes = parts.program;
        n_bytes = parts.program_bytes;
    }
    bool binary = bc_is_binary(bytes, n_bytes);
    if (!binary) status = assemble(p, err);
    if (!status)
        status = binary ? bc_module_decode(bytes, n_bytes, &everything, &p->module, err)
                        : bc_module_decode(p->bytes.data, p->bytes.size, &everything, &p->module, err);
    if (!status && validate) status = bc_module_validate(p->module, &everything, err);
    if (status) bc_source_map_place(p->map, err);
    return status;
}

void cli_program_close(struct cli_program *p) {
    bc_module_free(p->module);
    if (p->map) bc_source_map_fini(p->map, &atoll_default_alloc);
    atoll_free(&atoll_default_alloc, p->map, sizeof *p->map);
    bc_buf_fini(&p->bytes);
    cli_file_close(&p->file);
}
