/* tests/fuzz/fuzz_vm_file.c: any bytes as a machine's file: entries that are strings within bounds, or an error that
 * lies in the file. */
#include "tests/fuzz/fuzz.h"
#include "cli/vm_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cli_vm_file file;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_vm_file_parse((const char *)data, size, &file, &err);
    size_t n_bytes = 0;
    for (size_t i = 0; i < file.n_entries; i++) {
        const struct cli_vm_entry *entry = file.entries + i;
        n_bytes += strlen(entry->value) + 1;
        FUZZ_CHECK(strlen(entry->name) < size && entry->line <= size);
    }
    FUZZ_CHECK(n_bytes <= 2 * size);
    if (status != ATOLL_OK) fuzz_check_error(&err, status, size);
    FUZZ_CHECK(status == ATOLL_OK || !file.n_entries);
    cli_vm_file_free(&file);
    return 0;
}
