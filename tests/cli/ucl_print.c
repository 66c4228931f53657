/* tests/cli/ucl_print.c: a file of the configuration language as JSON, to compare with what libucl makes of it (its
 * tests give the variable ABI). usage: ucl_print FILE... */
#include "tests/cli/ucl_json.h"

static bool print_file(const char *path) {
    static const struct ucl_variable variables[] = {{"ABI", "unknown"}, {0}};
    const struct ucl_options options = {.files = &ucl_system_files, .variables = variables};
    struct ucl_document document;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = ucl_read_file(path, &options, &document, &err);
    if (status == ATOLL_OK)
        ucl_json_print(stdout, document.root), putchar('\n');
    else
        printf("error: %s:%u:%u: %s\n", document.failed ? document.failed->name : path, err.line, err.column,
               err.text);
    ucl_document_free(&document);
    return status == ATOLL_OK;
}

int main(int argc, char **argv) {
    bool whole = true;
    for (int i = 1; i < argc; i++) whole &= print_file(argv[i]);
    return !whole;
}
