/* tests/fuzz/fuzz_decode.c: any bytes: decode, validate; what is valid also goes through writer and printer.
 *
 *   bytes -> module -> written -> the same module, and written again the same bytes
 *                   -> text    -> assembles to a module that validates and whose text gives the same bytes */
#include "tests/fuzz/fuzz.h"

static struct bc_module *must_decode(const struct bc_buf *bytes) {
    struct bc_module *m = NULL;
    struct atoll_error err = {0};
    enum atoll_status status = bc_module_decode(bytes->data, bytes->size, NULL, &m, &err);
    if (!status) status = bc_module_validate(m, NULL, &err);
    if (status) fprintf(stderr, "%s at %#llx\n", err.text, (unsigned long long)err.offset);
    FUZZ_CHECK(status == ATOLL_OK);
    return m;
}

static void written_reads_back(const struct bc_module *m) {
    struct bc_buf first, second;
    struct atoll_error err = {0};
    bc_buf_init(&first, &atoll_default_alloc);
    bc_buf_init(&second, &atoll_default_alloc);
    FUZZ_CHECK(bc_module_write(m, &first, &err) == ATOLL_OK);
    struct bc_module *again = must_decode(&first);
    FUZZ_CHECK(bc_module_write(again, &second, &err) == ATOLL_OK);
    FUZZ_CHECK(first.size == second.size && !memcmp(first.data, second.data, first.size));
    bc_module_free(again);
    bc_buf_fini(&first);
    bc_buf_fini(&second);
}

static void assemble_print(struct bc_module *m, bool fold, struct bc_buf *out) {
    struct bc_buf text;
    struct atoll_error err = {0};
    bc_buf_init(&text, &atoll_default_alloc);
    bc_buf_init(out, &atoll_default_alloc);
    FUZZ_CHECK(bc_names_load(m) == ATOLL_OK);
    FUZZ_CHECK(bc_text_print(m, &(struct bc_print_options){.fold = fold}, &text, &err) == ATOLL_OK);
    enum atoll_status status = bc_text_assemble((const char *)text.data, text.size, NULL, out, NULL, &err);
    if (status) fprintf(stderr, "%u:%u: %s\n%.*s", err.line, err.column, err.text, (int)text.size, text.data);
    FUZZ_CHECK(status == ATOLL_OK);
    bc_buf_fini(&text);
}

static void printed_assembles(struct bc_module *m, bool fold) {
    struct bc_buf first, second;
    assemble_print(m, fold, &first);
    struct bc_module *again = must_decode(&first);
    assemble_print(again, !fold, &second);
    FUZZ_CHECK(first.size == second.size && !memcmp(first.data, second.data, first.size));
    bc_module_free(again);
    bc_buf_fini(&first);
    bc_buf_fini(&second);
}

/* Decodes and validates with some allocation failing. */
static void survives_lack_of_memory(const uint8_t *data, size_t size, uint64_t n_calls) {
    struct fuzz_alloc memory;
    struct atoll_error err = {0};
    struct bc_module *m = NULL;
    fuzz_alloc_init(&memory, n_calls ? fuzz_hash(FUZZ_HASH_START, data, size) % n_calls : 0);
    struct bc_config config = {.alloc = &memory.alloc};
    enum atoll_status status = bc_module_decode(data, size, &config, &m, &err);
    if (!status) status = bc_module_validate(m, &config, &err);
    if (status) fuzz_check_error(&err, status, size);
    if (m) bc_names_load(m);
    bc_module_free(m);
    FUZZ_CHECK(memory.n_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_alloc memory;
    struct atoll_error err = {0};
    struct bc_module *m = NULL;
    fuzz_alloc_init(&memory, UINT64_MAX);
    struct bc_config config = {.alloc = &memory.alloc};
    enum atoll_status status = bc_module_decode(data, size, &config, &m, &err);
    if (!status) status = bc_module_validate(m, &config, &err);
    uint64_t n_calls = memory.n_calls;
    if (status) {
        fuzz_check_error(&err, status, size);
    } else {
        written_reads_back(m);
        printed_assembles(m, size & 1);
    }
    bc_module_free(m);
    FUZZ_CHECK(memory.n_bytes == 0);
    survives_lack_of_memory(data, size, n_calls);
    return 0;
}
