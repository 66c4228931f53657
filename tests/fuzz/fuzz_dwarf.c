/* tests/fuzz/fuzz_dwarf.c: any bytes as debugging sections of a module (chunks as in fuzz.h): every question
 * has an answer that lies in the module, the same each time, also when memory runs out, and all of them end.
 */
#include "tests/fuzz/fuzz.h"

#define CODE_BYTES  512
#define MAX_SOURCES 8

static void put_section(struct bc_buf *out, uint8_t id, const void *bytes, size_t n) {
    bc_buf_u8(out, id);
    bc_buf_u32(out, (uint32_t)n);
    bc_buf_bytes(out, bytes, n);
}

/* One function of CODE_BYTES instructions. */
static void put_code(struct bc_buf *out) {
    uint8_t body[CODE_BYTES + 4] = {1}; /* functions */
    body[1] = (uint8_t)((CODE_BYTES + 1) & 0x7F) | 0x80;
    body[2] = (uint8_t)((CODE_BYTES + 1) >> 7);
    memset(body + 4, 0x01, CODE_BYTES - 1); /* nop, behind no locals */
    body[CODE_BYTES + 3] = 0x0B;
    put_section(out, 10, body, sizeof body);
}

static void put_module(struct bc_buf *out, const uint8_t *data, size_t size) {
    bc_buf_bytes(out, "\0asm\1\0\0\0", 8);
    put_section(out, 1, "\1\x60\0\0", 4);
    put_section(out, 3, "\1\0", 2);
    put_code(out);
    while (size >= 3) {
        const char *name = fuzz_debug_names[data[0] % FUZZ_DEBUG_SECTIONS];
        size_t n = (size_t)(data[1] | data[2] << 8);
        if (n > size - 3) n = size - 3;
        struct bc_buf payload;
        bc_buf_init(&payload, &atoll_default_alloc);
        bc_buf_u32(&payload, (uint32_t)strlen(name));
        bc_buf_bytes(&payload, name, strlen(name));
        bc_buf_bytes(&payload, data + 3, n);
        put_section(out, 0, payload.data, payload.size);
        bc_buf_fini(&payload);
        data += 3 + n;
        size -= 3 + n;
    }
}

static void check_name(const struct bc_module *m, struct bc_name name) {
    const uint8_t *start = (const uint8_t *)name.bytes;
    if (!start) {
        FUZZ_CHECK(!name.size);
        return;
    }
    FUZZ_CHECK(start >= m->bytes && start + name.size < m->bytes + m->n_bytes && !start[name.size]);
}

static uint64_t ask(const struct bc_module *m, const struct atoll_alloc *alloc) {
    uint64_t hash = FUZZ_HASH_START;
    struct bc_debug *debug = bc_debug_new(m, alloc);
    uint32_t first = m->funcs[0].code_offset;
    for (uint32_t at = first; at < first + CODE_BYTES; at += at < first + 80 ? 3 : 47) {
        struct bc_source sources[MAX_SOURCES];
        uint32_t n = bc_debug_find(debug, at, sources, MAX_SOURCES);
        FUZZ_CHECK(n <= MAX_SOURCES && (debug || !n));
        for (uint32_t i = 0; i < n; i++) {
            check_name(m, sources[i].function);
            check_name(m, sources[i].directory);
            check_name(m, sources[i].file);
            hash = fuzz_hash(hash, &sources[i].line, sizeof sources[i].line);
        }
    }
    bc_debug_free(debug);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bc_buf bytes;
    struct bc_module *m = NULL;
    struct fuzz_alloc memory;
    bc_buf_init(&bytes, &atoll_default_alloc);
    put_module(&bytes, data, size);
    FUZZ_CHECK(bc_module_decode(bytes.data, bytes.size, NULL, &m, NULL) == ATOLL_OK);
    fuzz_alloc_init(&memory, UINT64_MAX);
    uint64_t first = ask(m, &memory.alloc);
    FUZZ_CHECK(memory.n_bytes == 0);
    FUZZ_CHECK(ask(m, &memory.alloc) == first);
    fuzz_alloc_init(&memory, memory.n_calls ? fuzz_hash(FUZZ_HASH_START, data, size) % memory.n_calls : 0);
    ask(m, &memory.alloc);
    FUZZ_CHECK(memory.n_bytes == 0);
    bc_module_free(m);
    bc_buf_fini(&bytes);
    return 0;
}
