/* tests/fuzz/fuzz_script.c: any text as a test script: parse it, make its modules. */
#include "tests/fuzz/fuzz.h"

#define MAX_MODULES 64

static void make_modules(const struct bc_script *s) {
    size_t n = bc_script_count(s);
    unsigned n_modules = 0;
    for (size_t i = 0; i < n && n_modules < MAX_MODULES; i++) {
        const struct bc_command *c = bc_script_command(s, i);
        struct bc_buf bytes;
        if (!c->has_module) continue;
        n_modules++;
        bc_buf_init(&bytes, &atoll_default_alloc);
        struct bc_module *m = NULL;
        if (!bc_script_module_bytes(s, c, NULL, &bytes, NULL))
            bc_module_decode(bytes.data, bytes.size, NULL, &m, NULL);
        bc_module_free(m);
        bc_buf_fini(&bytes);
    }
}

static void parse(struct fuzz_alloc *memory, const uint8_t *data, size_t size) {
    struct atoll_error err = {0};
    struct bc_script *s = NULL;
    enum atoll_status status = bc_script_parse((const char *)data, size, &memory->alloc, &s, &err);
    if (status)
        fuzz_check_error(&err, status, size);
    else
        make_modules(s);
    if (!status) bc_script_free(s);
    FUZZ_CHECK(memory->n_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_alloc memory;
    fuzz_alloc_init(&memory, UINT64_MAX);
    parse(&memory, data, size);
    uint64_t n_calls = memory.n_calls;
    fuzz_alloc_init(&memory, n_calls ? fuzz_hash(FUZZ_HASH_START, data, size) % n_calls : 0);
    parse(&memory, data, size);
    return 0;
}
