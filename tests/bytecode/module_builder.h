/* tests/bytecode/module_builder.h: modules byte by byte, for tests of what no assembler would write. */
#ifndef ATOLL_TESTS_MODULE_BUILDER_H
#define ATOLL_TESTS_MODULE_BUILDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "bytecode/bytecode.h"

/* Counts what a reader asks for. */
struct counting {
    struct atoll_alloc alloc;
    uint64_t n_bytes, n_calls; /* ever handed out; calls */
};
static inline void *counting_resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct counting *c = context;
    c->n_calls++;
    if (new_size > old_size) c->n_bytes += new_size - old_size;
    return atoll_default_alloc.resize(atoll_default_alloc.context, p, old_size, new_size);
}

static inline void put(struct bc_buf *b, const char *bytes, size_t n) { bc_buf_bytes(b, bytes, n); }
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static inline void module_begin(struct bc_buf *b) {
    bc_buf_init(b, &atoll_default_alloc);
    PUT(b, "\0asm\1\0\0\0");
}
/* Appends a section and empties `payload`. */
static inline void section(struct bc_buf *b, uint8_t id, struct bc_buf *payload) {
    bc_buf_u8(b, id);
    bc_buf_u32(b, (uint32_t)payload->size);
    bc_buf_bytes(b, payload->data, payload->size);
    bc_buf_fini(payload);
}
#define SECTION(b, id, literal)                                                                              \
    do {                                                                                                     \
        struct bc_buf payload_;                                                                              \
        bc_buf_init(&payload_, &atoll_default_alloc);                                                        \
        PUT(&payload_, literal);                                                                             \
        section(b, id, &payload_);                                                                           \
    } while (0)
/* A section of a count and n times the same item. */
#define REPEATED(b, id, n, literal)                                                                          \
    do {                                                                                                     \
        struct bc_buf payload_;                                                                              \
        bc_buf_init(&payload_, &atoll_default_alloc);                                                        \
        bc_buf_u32(&payload_, (uint32_t)(n));                                                                \
        for (uint32_t i_ = 0; i_ < (uint32_t)(n); i_++) PUT(&payload_, literal);                             \
        section(b, id, &payload_);                                                                           \
    } while (0)

/* Decodes and validates `b`, which it frees. */
static inline enum atoll_status module_check(struct bc_buf *b, struct counting *count,
                                             struct atoll_error *err) {
    struct bc_module *m = NULL;
    *err = (struct atoll_error){0};
    if (count) *count = (struct counting){.alloc = {counting_resize, count}};
    struct bc_config config = {.alloc = count ? &count->alloc : NULL};
    assert_false(b->failed);
    enum atoll_status status = bc_module_decode(b->data, b->size, &config, &m, err);
    if (!status) status = bc_module_validate(m, &config, err);
    bc_module_free(m);
    bc_buf_fini(b);
    return status;
}

/* The module fails with this status, at this byte, with a text that begins so. */
static inline void module_fails(struct bc_buf *b, enum atoll_status status, uint64_t offset,
                                const char *text) {
    struct atoll_error err;
    enum atoll_status got = module_check(b, NULL, &err);
    if (got != status || err.offset != offset || strncmp(err.text, text, strlen(text)))
        fail_msg("want %s at %#llx: %s; got %s at %#llx: %s", atoll_status_word(status),
                 (unsigned long long)offset, text, atoll_status_word(got), (unsigned long long)err.offset,
                 err.text);
}
static inline void module_passes(struct bc_buf *b) {
    struct atoll_error err;
    if (module_check(b, NULL, &err)) fail_msg("%s at %#llx", err.text, (unsigned long long)err.offset);
}

#endif
