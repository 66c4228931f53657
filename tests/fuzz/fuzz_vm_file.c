/* tests/fuzz/fuzz_vm_file.c: any bytes as a machine's file: a tree within its bounds whose keys are found once,
 * settings of flags, or an error that lies in a file. What stands behind the first byte 0xFF is what each included
 * file holds; those whose names begin with "n" are not there. */
#include <errno.h>
#include <stdlib.h>
#include "tests/fuzz/fuzz.h"
#include "cli/vm_file.h"

struct halves {
    const uint8_t *other;
    size_t n_other;
};

static enum atoll_status read_other(void *context, const char *path, size_t max_bytes, struct ucl_bytes *out,
                                    struct atoll_error *err) {
    const struct halves *halves = context;
    if (*path == 'n' || halves->n_other > max_bytes) {
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "none");
        err->system_errno = ENOENT;
        return ATOLL_E_IO;
    }
    *out = (struct ucl_bytes){malloc(halves->n_other + 1), halves->n_other, strdup(path)};
    FUZZ_CHECK(out->bytes && out->path);
    memcpy(out->bytes, halves->other, halves->n_other);
    return ATOLL_OK;
}

static enum atoll_status match_two(void *context, const char *pattern,
                                   bool (*each)(void *to, const char *path), void *to,
                                   struct atoll_error *err) {
    (void)context, (void)err;
    if (each(to, pattern)) each(to, "/two");
    return ATOLL_OK;
}

/* Counts; checks depth, that scalars have texts, and members keys that lead to them. */
static size_t check(const struct ucl_value *value, unsigned depth) {
    size_t n = 1;
    FUZZ_CHECK(depth <= UCL_DEPTH_MAX + 2 && value->file && value->priority <= UCL_PRIORITY_MAX);
    if (value->kind != UCL_NULL && value->kind < UCL_ARRAY) FUZZ_CHECK(value->text);
    if (value->kind < UCL_ARRAY) return n;
    for (const struct ucl_value *part = value->first; part; part = part->next) {
        if (value->kind == UCL_OBJECT)
            FUZZ_CHECK(part->key && (n > 200 || ucl_find(value, part->key) == part));
        for (const struct ucl_value *one = part; one; one = one->again) n += check(one, depth + 1);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct cli_flag flags[] = {{1, "kernel", 0, "FILE", ""}, {2, "disk", 0, "FILE", ""},
                                            {3, "net", 0, "NET", ""},     {4, "dir", 0, "DIR", ""},
                                            {5, "env", 0, "NAME", ""},    {6, "stats", 0, NULL, ""},
                                            {7, "a", 0, "A", ""},         {0}};
    const uint8_t *other = memchr(data, 0xFF, size);
    size_t n = other ? (size_t)(other - data) : size;
    struct halves halves = {other ? other + 1 : data, other ? size - n - 1 : 0};
    const struct ucl_files files = {read_other, match_two, &halves};
    static const struct ucl_variable variables[] = {{"CURDIR", "/x"}, {0}};
    const struct ucl_options options = {.files = &files, .variables = variables};
    struct cli_vm_file file;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_vm_file_parse("a.vm", (const char *)data, n, &options, flags, &file, &err);
    if (!file.document.failed && file.document.root)
        FUZZ_CHECK(check(file.document.root, 0) <= UCL_VALUES_MAX + 1);
    for (size_t i = 0; i < file.n_settings; i++)
        FUZZ_CHECK(!file.settings[i].flag->value == !file.settings[i].value);
    if (status != ATOLL_OK) {
        fuzz_check_error(&err, status, size);
        FUZZ_CHECK(file.failed && err.line <= size + 1);
    }
    cli_vm_file_free(&file);
    return 0;
}
