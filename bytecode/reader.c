/* bytecode/reader.c: numbers, names and types of the binary format. */
#include "bytecode/reader.h"
#include "bytecode/internal.h"

#include <stdio.h>

void bc_reader_fail(struct bc_reader *r, enum atoll_status code, uint32_t offset, const char *format, ...) {
    r->at = r->end;
    if (r->status) return;
    va_list args;
    va_start(args, format);
    r->status = atoll_vfail(r->err, code, offset == BC_NO_OFFSET ? ATOLL_NO_OFFSET : offset, format, args);
    va_end(args);
}

bool bc_reader_stopped(struct bc_reader *r) {
    if (bc_stop_asked(r->stop)) bc_reader_fail(r, ATOLL_E_INTERRUPTED, BC_NO_OFFSET, "interrupted");
    return r->status != ATOLL_OK;
}

const char *bc_feature_word(enum bc_feature f) {
    static const char *const words[] = {
#define X(id, word) word,
        BC_FEATURE_LIST(X)
#undef X
    };
    return words[f];
}

void bc_reader_need(struct bc_reader *r, enum bc_feature f, uint32_t offset, const char *what) {
    if (r->features >> f & 1) return;
    bc_reader_fail(r, ATOLL_E_INVALID, offset, "%s needs the feature %s, which is off", what,
                   bc_feature_word(f));
}

/* ---- numbers ---- */

uint64_t bc_reader_unsigned(struct bc_reader *r, unsigned bits) {
    uint32_t start = r->at;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        if (r->at >= r->end) {
            bc_reader_fail(r, ATOLL_E_MALFORMED, r->end, BC_UNEXPECTED_END);
            return 0;
        }
        uint8_t byte = r->bytes[r->at++];
        if (bits - shift < 7 && (byte & 0x7F) >> (bits - shift)) {
            bc_reader_fail(r, ATOLL_E_MALFORMED, start, "integer too large");
            return 0;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
    bc_reader_fail(r, ATOLL_E_MALFORMED, start, "integer representation too long");
    return 0;
}

int64_t bc_reader_signed(struct bc_reader *r, unsigned bits) {
    uint32_t start = r->at;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        if (r->at >= r->end) {
            bc_reader_fail(r, ATOLL_E_MALFORMED, r->end, BC_UNEXPECTED_END);
            return 0;
        }
        uint8_t byte = r->bytes[r->at++];
        unsigned left = bits - shift;
        if (left < 7) { /* the unused bits have to repeat the sign */
            uint8_t unused = (uint8_t)((0x7F << (left - 1)) & 0x7F);
            if ((byte & unused) != 0 && (byte & unused) != unused) {
                bc_reader_fail(r, ATOLL_E_MALFORMED, start, "integer too large");
                return 0;
            }
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            if (byte & 0x40 && shift + 7 < 64) value |= ~UINT64_C(0) << (shift + 7);
            return (int64_t)value;
        }
    }
    bc_reader_fail(r, ATOLL_E_MALFORMED, start, "integer representation too long");
    return 0;
}

uint32_t bc_reader_count(struct bc_reader *r, uint32_t min_bytes, uint32_t limit, const char *what) {
    uint32_t start = r->at;
    uint32_t n = bc_reader_u32(r);
    if (n > bc_reader_left(r) / min_bytes) {
        bool some = bc_reader_left(r) > 0 && min_bytes > 1;
        bc_reader_fail(r, ATOLL_E_MALFORMED, start, "%s: %u %s cannot follow",
                       some ? "length out of bounds" : BC_UNEXPECTED_END, n, what);
        return 0;
    }
    if (n > limit) {
        bc_reader_fail(r, ATOLL_E_LIMIT, start, "too many %s: %u, the limit is %u", what, n, limit);
        return 0;
    }
    return n;
}

struct bc_range bc_reader_range(struct bc_reader *r) {
    uint32_t size = bc_reader_u32(r);
    struct bc_range range = {r->at, size};
    if (size > bc_reader_left(r)) {
        bc_reader_fail(r, ATOLL_E_MALFORMED, r->at, BC_UNEXPECTED_END);
        return (struct bc_range){0, 0};
    }
    r->at += size;
    return range;
}

/* ---- names ---- */

/* Length of the well-formed UTF-8 sequence at p (its first byte >= 0x80), 0 when malformed. */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    size_t n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (left < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
    if (p[0] == 0xED && p[1] > 0x9F) return 0; /* surrogate */
    if (p[0] == 0xF0 && p[1] < 0x90) return 0; /* overlong */
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0; /* above U+10FFFF */
    return n;
}

bool bc_utf8_valid(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t step = bytes[i] < 0x80 ? 1 : utf8_sequence(bytes + i, n - i);
        if (!step) return false;
        i += step;
    }
    return true;
}

struct bc_name bc_reader_name(struct bc_reader *r) {
    uint32_t size = bc_reader_u32(r);
    uint32_t start = r->at;
    struct bc_name none = {NULL, 0};
    if (r->status) return none;
    if (size > bc_reader_left(r)) {
        bc_reader_fail(r, ATOLL_E_MALFORMED, start, "length out of bounds: a name of %u bytes", size);
        return none;
    }
    if (!bc_utf8_valid(r->bytes + start, size)) {
        bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed UTF-8 encoding");
        return none;
    }
    r->at += size;
    return (struct bc_name){(const char *)r->bytes + start, size};
}

/* ---- types ---- */

/* Abstract heap types by code byte from 0x69, with the feature each came with. */
static const struct {
    uint8_t heap, feature;
} heap_codes[] = {
    [0x69 - 0x69] = {BC_HEAP_EXN, BC_FEATURE_EXCEPTIONS},
    [0x6A - 0x69] = {BC_HEAP_ARRAY, BC_FEATURE_GC},
    [0x6B - 0x69] = {BC_HEAP_STRUCT, BC_FEATURE_GC},
    [0x6C - 0x69] = {BC_HEAP_I31, BC_FEATURE_GC},
    [0x6D - 0x69] = {BC_HEAP_EQ, BC_FEATURE_GC},
    [0x6E - 0x69] = {BC_HEAP_ANY, BC_FEATURE_GC},
    [0x6F - 0x69] = {BC_HEAP_EXTERN, BC_FEATURE_REFERENCE_TYPES},
    [0x70 - 0x69] = {BC_HEAP_FUNC, BC_FEATURE_MVP},
    [0x71 - 0x69] = {BC_HEAP_NONE, BC_FEATURE_GC},
    [0x72 - 0x69] = {BC_HEAP_NOEXTERN, BC_FEATURE_GC},
    [0x73 - 0x69] = {BC_HEAP_NOFUNC, BC_FEATURE_GC},
    [0x74 - 0x69] = {BC_HEAP_NOEXN, BC_FEATURE_EXCEPTIONS},
};

static uint32_t abstract_heap(struct bc_reader *r, uint8_t code, uint32_t offset) {
    enum bc_heap_kind heap = heap_codes[code - 0x69].heap;
    bc_reader_need(r, heap_codes[code - 0x69].feature, offset, "reference type");
    if (heap <= BC_HEAP_NONE) r->saw_gc = true;
    return BC_HEAP_ABSTRACT + heap;
}

static uint32_t type_index(struct bc_reader *r, int64_t index, uint32_t offset) {
    if (index < r->n_types) return (uint32_t)index;
    bc_reader_fail(r, ATOLL_E_INVALID, offset, "unknown type %lld", (long long)index);
    return BC_HEAP_ABSTRACT;
}

uint32_t bc_reader_heaptype(struct bc_reader *r) {
    uint32_t start = r->at;
    int64_t code = bc_reader_sleb(r, 33);
    if (r->status) return BC_HEAP_ABSTRACT;
    if (code >= 0) {
        bc_reader_need(r, BC_FEATURE_FUNCTION_REFERENCES, start, "type index as a heap type");
        return type_index(r, code, start);
    }
    if (code >= 0x69 - 0x80 && code <= 0x74 - 0x80) return abstract_heap(r, (uint8_t)(code + 0x80), start);
    bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed heap type");
    return BC_HEAP_ABSTRACT;
}

/* The value type with code byte `code`, which was read at `start`; BC_BOTTOM when there is none. */
static bc_valtype valtype_of_code(struct bc_reader *r, uint8_t code, uint32_t start) {
    if (code >= 0x7C && code <= 0x7F) return (bc_valtype)(BC_KIND_I32 + (0x7F - code));
    if (code == 0x7B) {
        bc_reader_need(r, BC_FEATURE_SIMD, start, "v128");
        return BC_V128;
    }
    if (code >= 0x69 && code <= 0x74) return bc_ref(true, abstract_heap(r, code, start));
    if (code == 0x63 || code == 0x64) {
        bc_reader_need(r, BC_FEATURE_FUNCTION_REFERENCES, start, "typed reference");
        return bc_ref(code == 0x63, bc_reader_heaptype(r));
    }
    return BC_BOTTOM;
}

bc_valtype bc_reader_valtype(struct bc_reader *r) {
    uint32_t start = r->at;
    uint8_t code = bc_reader_u8(r);
    bc_valtype t = valtype_of_code(r, code, start);
    if (t == BC_BOTTOM) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed value type");
    return t;
}

bc_valtype bc_reader_reftype(struct bc_reader *r) {
    uint32_t start = r->at;
    uint8_t code = bc_reader_u8(r);
    bc_valtype t = valtype_of_code(r, code, start);
    if (!bc_valtype_is_ref(t)) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed reference type");
    return t;
}

bc_valtype bc_reader_storagetype(struct bc_reader *r) {
    if (r->at < r->end && r->bytes[r->at] == 0x78) return r->at++, BC_I8;
    if (r->at < r->end && r->bytes[r->at] == 0x77) return r->at++, BC_I16;
    return bc_reader_valtype(r);
}

uint32_t bc_reader_blocktype(struct bc_reader *r) {
    uint32_t start = r->at;
    if (r->at < r->end) {
        uint8_t byte = r->bytes[r->at];
        if (byte == 0x40) {
            r->at++;
            return BC_BLOCK_EMPTY;
        }
        if (byte > 0x40 && byte < 0x80) return bc_reader_valtype(r);
    }
    int64_t index = bc_reader_sleb(r, 33);
    if (r->status) return BC_BLOCK_EMPTY;
    if (index < 0) {
        bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed block type");
        return BC_BLOCK_EMPTY;
    }
    return BC_BLOCK_TYPE_INDEX | type_index(r, index, start);
}
