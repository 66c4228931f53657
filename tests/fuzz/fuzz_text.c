/* tests/fuzz/fuzz_text.c: any text: assemble; what assembles decodes, and whatever validates prints. */
#include "tests/fuzz/fuzz.h"

static void decode(const struct bc_buf *bytes) {
    struct bc_module *m = NULL;
    struct atoll_error err = {0};
    enum atoll_status status = bc_module_decode(bytes->data, bytes->size, NULL, &m, &err);
    if (status == ATOLL_E_MALFORMED) fprintf(stderr, "%s\n", err.text);
    FUZZ_CHECK(status != ATOLL_E_MALFORMED);
    if (!status) status = bc_module_validate(m, NULL, &err);
    if (status) fuzz_check_error(&err, status, bytes->size);
    if (!status) {
        struct bc_buf text, again;
        bc_buf_init(&text, &atoll_default_alloc);
        bc_buf_init(&again, &atoll_default_alloc);
        bc_names_load(m);
        FUZZ_CHECK(bc_text_print(m, &(struct bc_print_options){0}, &text, &err) == ATOLL_OK);
        status = bc_text_assemble((const char *)text.data, text.size, NULL, &again, NULL, &err);
        if (status) fprintf(stderr, "%u:%u: %s\n", err.line, err.column, err.text);
        FUZZ_CHECK(status == ATOLL_OK);
        bc_buf_fini(&text);
        bc_buf_fini(&again);
    }
    bc_module_free(m);
}

static enum atoll_status assemble(struct fuzz_alloc *memory, const uint8_t *data, size_t size,
                                  struct bc_buf *bytes, struct atoll_error *err) {
    struct bc_source_map map = {0};
    struct bc_config config = {.alloc = &memory->alloc};
    bc_buf_init(bytes, &memory->alloc);
    enum atoll_status status = bc_text_assemble((const char *)data, size, &config, bytes, &map, err);
    bc_source_map_fini(&map, &memory->alloc);
    return status;
}

/* Without enough memory the text fails; it never gives half a module. */
static void is_whole_or_fails(const uint8_t *data, size_t size, uint64_t n_calls,
                              const struct bc_buf *whole) {
    struct fuzz_alloc memory;
    struct bc_buf bytes;
    struct atoll_error err = {0};
    fuzz_alloc_init(&memory, n_calls ? fuzz_hash(FUZZ_HASH_START, data, size) % n_calls : 0);
    if (!assemble(&memory, data, size, &bytes, &err) && whole)
        FUZZ_CHECK(bytes.size == whole->size && !memcmp(bytes.data, whole->data, bytes.size));
    bc_buf_fini(&bytes);
    FUZZ_CHECK(memory.n_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_alloc memory;
    struct bc_buf bytes;
    struct atoll_error err = {0};
    fuzz_alloc_init(&memory, UINT64_MAX);
    enum atoll_status status = assemble(&memory, data, size, &bytes, &err);
    uint64_t n_calls = memory.n_calls;
    if (status)
        fuzz_check_error(&err, status, size);
    else
        decode(&bytes);
    if (status == ATOLL_E_SYNTAX) FUZZ_CHECK(err.line >= 1 && err.line <= size + 1 && err.column >= 1);
    is_whole_or_fails(data, size, n_calls, status ? NULL : &bytes);
    bc_buf_fini(&bytes);
    FUZZ_CHECK(memory.n_bytes == 0);
    return 0;
}
