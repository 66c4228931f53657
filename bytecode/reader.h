/* bytecode/reader.h: reading the binary format, one byte range at a time.
 *
 * Errors are sticky: the first fault fills *err, sets `status` and moves the cursor to the end, so that
 * callers read several items and test `status` once, at the end of each loop turn at the latest. Source: core
 * spec, "Binary Format", "Values" and "Types". */
#ifndef ATOLL_BYTECODE_READER_H
#define ATOLL_BYTECODE_READER_H

#include "bytecode/bytecode.h"

#include <string.h>

struct bc_reader {
    const uint8_t *bytes; /* of the module */
    uint32_t at, end;     /* cursor and limit, byte offsets in the module */
    uint32_t n_types;     /* a type index from here on is unknown */
    bc_features features; /* what value types may be */
    bool saw_gc;          /* a type of the `any` hierarchy was read */
    enum atoll_status status;
    struct atoll_error *err;
    const bc_stop *stop;
};

#define BC_NO_OFFSET      UINT32_MAX /* a fault without a place: out of memory */
#define BC_UNEXPECTED_END "unexpected end of section or function"

/* Records the first fault and moves the cursor to the end. */
void bc_reader_fail(struct bc_reader *r, enum atoll_status code, uint32_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));
/* Whether reading has to end; E_INTERRUPTED when somebody asks for that. Called where much work is behind an
 * item. */
bool bc_reader_stopped(struct bc_reader *r);
/* LEB128 of up to `bits` bits with all checks; the in-line readers take the one-byte case. */
uint64_t bc_reader_unsigned(struct bc_reader *r, unsigned bits);
int64_t bc_reader_signed(struct bc_reader *r, unsigned bits);
/* Fails when feature `f` is off; `what` begins the message. */
void bc_reader_need(struct bc_reader *r, enum bc_feature f, uint32_t offset, const char *what);
const char *bc_feature_word(enum bc_feature f);

static inline uint32_t bc_reader_left(const struct bc_reader *r) { return r->end - r->at; }

static inline uint8_t bc_reader_u8(struct bc_reader *r) {
    if (__builtin_expect(r->at < r->end, 1)) return r->bytes[r->at++];
    bc_reader_fail(r, ATOLL_E_MALFORMED, r->end, BC_UNEXPECTED_END);
    return 0;
}

static inline uint32_t bc_reader_u32(struct bc_reader *r) {
    if (__builtin_expect(r->at < r->end && r->bytes[r->at] < 0x80, 1)) return r->bytes[r->at++];
    return (uint32_t)bc_reader_unsigned(r, 32);
}

static inline uint64_t bc_reader_u64(struct bc_reader *r) {
    if (__builtin_expect(r->at < r->end && r->bytes[r->at] < 0x80, 1)) return r->bytes[r->at++];
    return bc_reader_unsigned(r, 64);
}

static inline int64_t bc_reader_sleb(struct bc_reader *r, unsigned bits) {
    if (__builtin_expect(r->at < r->end && r->bytes[r->at] < 0x80, 1)) {
        uint8_t byte = r->bytes[r->at++];
        return byte & 0x40 ? (int64_t)byte - 0x80 : byte;
    }
    return bc_reader_signed(r, bits);
}

static inline void bc_reader_copy(struct bc_reader *r, void *out, uint32_t n) {
    if (bc_reader_left(r) >= n) {
        memcpy(out, r->bytes + r->at, n);
        r->at += n;
    } else {
        bc_reader_fail(r, ATOLL_E_MALFORMED, r->end, BC_UNEXPECTED_END);
    }
}

/* The count of a vector whose items take at least min_bytes each: never more than what can still follow, so
 * that a count alone allocates nothing. Over `limit`: E_LIMIT, "too many <what>". */
uint32_t bc_reader_count(struct bc_reader *r, uint32_t min_bytes, uint32_t limit, const char *what);
/* A byte range of LEB128-encoded length. */
struct bc_range bc_reader_range(struct bc_reader *r);
/* A UTF-8 name. */
struct bc_name bc_reader_name(struct bc_reader *r);

/* An s33 heap type, packed as in bc_valtype. */
uint32_t bc_reader_heaptype(struct bc_reader *r);
bc_valtype bc_reader_valtype(struct bc_reader *r);
/* A value type that has to be a reference ("malformed reference type"). */
bc_valtype bc_reader_reftype(struct bc_reader *r);
/* A value type or i8, i16. */
bc_valtype bc_reader_storagetype(struct bc_reader *r);
/* An s33 block type -> struct bc_instr.block_type. */
uint32_t bc_reader_blocktype(struct bc_reader *r);
/* An instruction at the cursor; false (and status) on a fault. */
bool bc_reader_instr(struct bc_reader *r, struct bc_instr *out);

#endif
