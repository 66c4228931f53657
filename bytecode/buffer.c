/* bytecode/buffer.c: arenas and byte buffers, the memory readers and writers of programs build on. */
#include "bytecode/bytecode.h"
#include "bytecode/stress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- arena ---- */

struct bc_arena_chunk {
    struct bc_arena_chunk *next;
    size_t size; /* bytes behind the header */
    _Alignas(16) char data[];
};

#define FIRST_CHUNK_BYTES ATOLL_LIMIT((size_t)4096, (size_t)64)
#define MORE_CHUNK_BYTES  ATOLL_LIMIT((size_t)(64u << 10), (size_t)256)  /* chunks grow by 4 until here ... */
#define FULL_CHUNK_BYTES  ATOLL_LIMIT((size_t)(256u << 10), (size_t)512) /* ... then have this size */

void bc_arena_init(struct bc_arena *arena, const struct atoll_alloc *alloc) {
    *arena = (struct bc_arena){.alloc = alloc};
}

void bc_arena_fini(struct bc_arena *arena) {
    for (struct bc_arena_chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        atoll_free(arena->alloc, c, sizeof *c + c->size);
    }
    arena->chunks = NULL;
    arena->used = arena->capacity = arena->total_bytes = 0;
}

void *bc_arena_new(struct bc_arena *arena, size_t n_items, size_t item_size) {
    size_t size;
    if (__builtin_mul_overflow(n_items, item_size, &size) || size > SIZE_MAX / 2) return NULL;
    size = (size + 15) & ~(size_t)15;
    if (!arena->chunks || size > arena->capacity - arena->used) {
        size_t chunk_size = arena->capacity < MORE_CHUNK_BYTES ? FIRST_CHUNK_BYTES : FULL_CHUNK_BYTES;
        if (arena->capacity >= FIRST_CHUNK_BYTES && arena->capacity < MORE_CHUNK_BYTES)
            chunk_size = arena->capacity * 4;
        if (chunk_size < size) chunk_size = size;
        struct bc_arena_chunk *c =
            arena->alloc->resize(arena->alloc->context, NULL, 0, sizeof *c + chunk_size);
        if (!c) return NULL;
        c->next = arena->chunks;
        c->size = chunk_size;
        arena->chunks = c;
        arena->used = 0;
        arena->capacity = chunk_size;
    }
    void *p = arena->chunks->data + arena->used;
    arena->used += size;
    arena->total_bytes += size;
    ATOLL_ASSERT(arena->used <= arena->capacity && (uintptr_t)p % 16 == 0);
    return memset(p, 0, size);
}

/* ---- byte buffer ---- */

void bc_buf_init(struct bc_buf *buf, const struct atoll_alloc *alloc) {
    *buf = (struct bc_buf){.alloc = alloc};
}

void bc_buf_fini(struct bc_buf *buf) {
    atoll_free(buf->alloc, buf->data, buf->capacity);
    *buf = (struct bc_buf){.alloc = buf->alloc};
}

#define PIECE_BYTES ATOLL_LIMIT((size_t)(64u << 10), (size_t)16)

void bc_buf_stream(struct bc_buf *buf, bc_sink *sink, void *context) {
    buf->sink = sink;
    buf->sink_context = context;
}

void bc_buf_flush(struct bc_buf *buf) {
    if (buf->failed || !buf->sink || !buf->size) return;
    if (!buf->sink(buf->sink_context, buf->data, buf->size)) buf->failed = true;
    buf->size = 0;
}

void bc_buf_bytes(struct bc_buf *buf, const void *bytes, size_t n_bytes) {
    if (buf->failed || !n_bytes) return;
    if (buf->sink && buf->size >= PIECE_BYTES) bc_buf_flush(buf);
    if (buf->failed) return;
    void *p = buf->data;
    if (n_bytes > SIZE_MAX - buf->size ||
        atoll_grow(buf->alloc, &p, &buf->capacity, buf->size + n_bytes, 1)) {
        buf->failed = true;
        return;
    }
    buf->data = p;
    memcpy(buf->data + buf->size, bytes, n_bytes);
    buf->size += n_bytes;
    ATOLL_ASSERT(buf->size <= buf->capacity);
}

void bc_buf_u8(struct bc_buf *buf, uint8_t byte) { bc_buf_bytes(buf, &byte, 1); }

void bc_buf_u64(struct bc_buf *buf, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (uint8_t)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
        n++;
        value >>= 7;
    } while (value);
    bc_buf_bytes(buf, bytes, n);
}

void bc_buf_u32(struct bc_buf *buf, uint32_t value) { bc_buf_u64(buf, value); }

void bc_buf_s64(struct bc_buf *buf, int64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    for (;;) {
        uint8_t low = (uint8_t)(value & 0x7F);
        value >>= 7;
        bool last = (value == 0 && !(low & 0x40)) || (value == -1 && (low & 0x40));
        bytes[n++] = (uint8_t)(last ? low : low | 0x80);
        if (last) break;
    }
    bc_buf_bytes(buf, bytes, n);
}

void bc_buf_fixed(struct bc_buf *buf, uint64_t value, unsigned n_bytes) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < n_bytes; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    bc_buf_bytes(buf, bytes, n_bytes);
}

void bc_buf_text(struct bc_buf *buf, const char *format, ...) {
    char small[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) {
        buf->failed = true;
    } else if ((size_t)n < sizeof small) {
        bc_buf_bytes(buf, small, (size_t)n);
    } else {
        char *large = atoll_new(buf->alloc, (size_t)n + 1, 1);
        if (!large) {
            buf->failed = true;
            return;
        }
        va_start(args, format);
        vsnprintf(large, (size_t)n + 1, format, args);
        va_end(args);
        bc_buf_bytes(buf, large, (size_t)n);
        atoll_free(buf->alloc, large, (size_t)n + 1);
    }
}
