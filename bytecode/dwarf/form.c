/* bytecode/dwarf/form.c: cursors over debugging sections, and attribute values by their forms. Source: DWARF
 * 5, 7.5 "Format of Debugging Information", 2.17 "Code Addresses, Ranges, and Base Addresses". */
#include <string.h>
#include "bytecode/dwarf/dwarf.h"

/* ---- cursors ---- */

struct dw_cursor dw_cursor_at(struct bc_debug *d, enum dw_section section, uint64_t at) {
    struct bc_range range = d->sections[section];
    struct dw_cursor c = {.d = d, .bytes = d->module->bytes + range.offset, .at = at, .end = range.size};
    if (at > c.end) dw_fail(&c);
    return c;
}

void dw_fail(struct dw_cursor *c) {
    c->failed = true;
    c->at = c->end;
}

bool dw_pay(struct dw_cursor *c, uint64_t steps) {
    if (c->d->work < steps) {
        c->d->work = 0;
        dw_fail(c);
        return false;
    }
    c->d->work -= steps;
    return true;
}

static bool has(struct dw_cursor *c, uint64_t n_bytes) {
    if (!c->failed && c->end - c->at >= n_bytes) return dw_pay(c, 1);
    dw_fail(c);
    return false;
}

uint64_t dw_fixed(struct dw_cursor *c, unsigned n_bytes) {
    uint64_t value = 0;
    if (!has(c, n_bytes)) return 0;
    for (unsigned i = 0; i < n_bytes; i++) value |= (uint64_t)c->bytes[c->at + i] << 8 * i;
    c->at += n_bytes;
    return value;
}

/* Bits above the 64th are dropped: padding is allowed, and no length of ours is that large. */
static uint64_t leb(struct dw_cursor *c, unsigned *out_bits, uint8_t *out_last) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        if (!has(c, 1)) return 0;
        byte = c->bytes[c->at++];
        if (shift < 64) value |= (uint64_t)(byte & 0x7F) << shift;
        if (shift < 70) shift += 7;
    } while (byte & 0x80);
    *out_bits = shift;
    *out_last = byte;
    return value;
}

uint64_t dw_uleb(struct dw_cursor *c) {
    unsigned bits;
    uint8_t last;
    return leb(c, &bits, &last);
}

int64_t dw_sleb(struct dw_cursor *c) {
    unsigned bits = 64;
    uint8_t last = 0;
    uint64_t value = leb(c, &bits, &last);
    if (last & 0x40 && bits < 64) value |= UINT64_MAX << bits;
    return (int64_t)value;
}

void dw_skip(struct dw_cursor *c, uint64_t n_bytes) {
    if (has(c, n_bytes)) c->at += n_bytes;
}

struct bc_name dw_string(struct dw_cursor *c) {
    const char *start = (const char *)c->bytes + c->at;
    const char *end = c->at < c->end ? memchr(start, 0, c->end - c->at) : NULL;
    if (!end) {
        dw_fail(c);
        return (struct bc_name){NULL, 0};
    }
    size_t size = (size_t)(end - start);
    if (!dw_pay(c, 1 + size / 16)) return (struct bc_name){NULL, 0};
    c->at += size + 1;
    return (struct bc_name){start, (uint32_t)size};
}

uint64_t dw_unit_length(struct dw_cursor *c, uint8_t *out_offset_size) {
    uint64_t length = dw_fixed(c, 4);
    *out_offset_size = 4;
    if (length == 0xFFFFFFFF) {
        length = dw_fixed(c, 8);
        *out_offset_size = 8;
    } else if (length >= 0xFFFFFFF0) {
        dw_fail(c); /* reserved */
    }
    if (length > c->end - c->at) dw_fail(c);
    return c->failed ? c->end : c->at + length;
}

/* ---- forms ---- */

enum form_shape { FIXED, ULEB, SLEB, OFFSET, BLOCK_FIXED, BLOCK_ULEB, STRING, NOTHING, IMPLICIT };
struct form {
    uint8_t shape; /* enum form_shape */
    uint8_t n;     /* FIXED: bytes, 0 = of an address; BLOCK_FIXED: bytes of the length */
    uint8_t class; /* enum dw_class */
};
#define GNU_FORMS     0x1F00u
#define FORM_INDIRECT 0x16
static const struct form forms[] = {
    [0x01] = {FIXED, 0, DW_ADDRESS},      [0x03] = {BLOCK_FIXED, 2, DW_UNREAD},
    [0x04] = {BLOCK_FIXED, 4, DW_UNREAD}, [0x05] = {FIXED, 2, DW_CONSTANT},
    [0x06] = {FIXED, 4, DW_CONSTANT},     [0x07] = {FIXED, 8, DW_CONSTANT},
    [0x08] = {STRING, 0, DW_TEXT},        [0x09] = {BLOCK_ULEB, 0, DW_UNREAD},
    [0x0A] = {BLOCK_FIXED, 1, DW_UNREAD}, [0x0B] = {FIXED, 1, DW_CONSTANT},
    [0x0C] = {FIXED, 1, DW_CONSTANT},     [0x0D] = {SLEB, 0, DW_CONSTANT},
    [0x0E] = {OFFSET, 0, DW_TEXT_AT},     [0x0F] = {ULEB, 0, DW_CONSTANT},
    [0x10] = {OFFSET, 0, DW_ENTRY},       [0x11] = {FIXED, 1, DW_ENTRY},
    [0x12] = {FIXED, 2, DW_ENTRY},        [0x13] = {FIXED, 4, DW_ENTRY},
    [0x14] = {FIXED, 8, DW_ENTRY},        [0x15] = {ULEB, 0, DW_ENTRY},
    [0x17] = {OFFSET, 0, DW_CONSTANT},    [0x18] = {BLOCK_ULEB, 0, DW_UNREAD},
    [0x19] = {NOTHING, 0, DW_CONSTANT},   [0x1A] = {ULEB, 0, DW_TEXT_X},
    [0x1B] = {ULEB, 0, DW_ADDRESS_X},     [0x1C] = {FIXED, 4, DW_UNREAD},
    [0x1D] = {OFFSET, 0, DW_UNREAD},      [0x1E] = {BLOCK_FIXED, 0, DW_UNREAD} /* 16 bytes */,
    [0x1F] = {OFFSET, 0, DW_LINE_TEXT},   [0x20] = {FIXED, 8, DW_UNREAD},
    [0x21] = {IMPLICIT, 0, DW_CONSTANT},  [0x22] = {ULEB, 0, DW_UNREAD},
    [0x23] = {ULEB, 0, DW_RANGES_X},      [0x24] = {FIXED, 8, DW_UNREAD},
    [0x25] = {FIXED, 1, DW_TEXT_X},       [0x26] = {FIXED, 2, DW_TEXT_X},
    [0x27] = {FIXED, 3, DW_TEXT_X},       [0x28] = {FIXED, 4, DW_TEXT_X},
    [0x29] = {FIXED, 1, DW_ADDRESS_X},    [0x2A] = {FIXED, 2, DW_ADDRESS_X},
    [0x2B] = {FIXED, 3, DW_ADDRESS_X},    [0x2C] = {FIXED, 4, DW_ADDRESS_X},
};
/* What GNU and LLVM used for split sections before version 5. */
static const struct form gnu_forms[] = {
    [0x01] = {ULEB, 0, DW_ADDRESS_X},
    [0x02] = {ULEB, 0, DW_TEXT_X},
    [0x20] = {OFFSET, 0, DW_UNREAD},
    [0x21] = {OFFSET, 0, DW_UNREAD},
};

static const struct form *form_of(uint64_t code) {
    const struct form *f = NULL;
    if (code < sizeof forms / sizeof *forms)
        f = &forms[code];
    else if (code >= GNU_FORMS && code - GNU_FORMS < sizeof gnu_forms / sizeof *gnu_forms)
        f = &gnu_forms[code - GNU_FORMS];
    return f && f->class != DW_ABSENT ? f : NULL;
}

static uint64_t read_number(struct dw_cursor *c, const struct dw_unit *unit, const struct form *f,
                            bool is_ref_addr) {
    switch ((enum form_shape)f->shape) {
    case FIXED: return dw_fixed(c, f->n ? f->n : unit->address_size);
    case ULEB: return dw_uleb(c);
    case SLEB: return (uint64_t)dw_sleb(c);
    case OFFSET:
        return dw_fixed(c, is_ref_addr && unit->version < 3 ? unit->address_size : unit->offset_size);
    case BLOCK_FIXED: dw_skip(c, f->n ? dw_fixed(c, f->n) : 16); return 0;
    case BLOCK_ULEB: dw_skip(c, dw_uleb(c)); return 0;
    default: return 1; /* a flag that is there */
    }
}

void dw_value_read(struct dw_cursor *c, const struct dw_unit *unit, uint64_t form, int64_t implicit,
                   struct dw_value *out) {
    if (form == FORM_INDIRECT) form = dw_uleb(c);
    const struct form *f = form_of(form);
    *out = (struct dw_value){.class = DW_ABSENT};
    if (!f || !dw_pay(c, 1)) {
        dw_fail(c);
        return;
    }
    out->class = (enum dw_class)f->class;
    if (f->shape == STRING)
        out->text = dw_string(c);
    else if (f->shape == IMPLICIT)
        out->number = (uint64_t)implicit;
    else
        out->number = read_number(c, unit, f, form == 0x10);
    if (out->class == DW_ENTRY && form != 0x10) { /* counts from the unit's start */
        bool inside = out->number < unit->end - unit->start;
        out->number = inside ? out->number + unit->start : UINT64_MAX;
    }
    if (c->failed) out->class = DW_ABSENT;
}

/* ---- through other sections ---- */

static struct bc_name text_at(struct bc_debug *d, enum dw_section section, uint64_t at) {
    struct dw_cursor c = dw_cursor_at(d, section, at);
    return dw_string(&c);
}

/* Entry `index` of a table of `size`-byte numbers at `base`. */
static bool indexed(struct bc_debug *d, enum dw_section section, uint64_t base, uint64_t index, unsigned size,
                    uint64_t *out) {
    uint64_t at;
    if (__builtin_mul_overflow(index, size, &at) || __builtin_add_overflow(at, base, &at)) return false;
    struct dw_cursor c = dw_cursor_at(d, section, at);
    *out = dw_fixed(&c, size);
    return !c.failed;
}

struct bc_name dw_text(struct bc_debug *d, const struct dw_unit *unit, const struct dw_value *v) {
    uint64_t at;
    switch (v->class) {
    case DW_TEXT: return v->text;
    case DW_TEXT_AT: return text_at(d, DW_STR, v->number);
    case DW_LINE_TEXT: return text_at(d, DW_LINE_STR, v->number);
    case DW_TEXT_X:
        if (!indexed(d, DW_STR_OFFSETS, unit->str_offsets_base, v->number, unit->offset_size, &at)) break;
        return text_at(d, DW_STR, at);
    default: break;
    }
    return (struct bc_name){NULL, 0};
}

bool dw_address(struct bc_debug *d, const struct dw_unit *unit, const struct dw_value *v, uint64_t *out) {
    if (v->class == DW_ADDRESS_X)
        return indexed(d, DW_ADDR, unit->addr_base, v->number, unit->address_size, out);
    *out = v->number;
    return v->class == DW_ADDRESS;
}

/* ---- ranges ---- */

/* .debug_ranges, versions 2 to 4: pairs; (0, 0) ends; (all ones, x) makes x the base. */
static bool old_ranges_cover(struct bc_debug *d, const struct dw_unit *unit, uint64_t at, uint64_t address) {
    struct dw_cursor c = dw_cursor_at(d, DW_RANGES, at);
    uint64_t base = unit->low_pc, ones = unit->address_size == 8 ? UINT64_MAX : UINT32_MAX;
    for (;;) {
        uint64_t low = dw_fixed(&c, unit->address_size), high = dw_fixed(&c, unit->address_size);
        if (c.failed || (!low && !high)) return false;
        if (low == ones)
            base = high;
        else if (address >= base && address - base >= low && address - base < high)
            return true;
    }
}

enum {
    RLE_END,
    RLE_BASE_X,
    RLE_START_END_X,
    RLE_START_LENGTH_X,
    RLE_PAIR,
    RLE_BASE,
    RLE_START_END,
    RLE_START_LENGTH
};

static uint64_t list_address(struct dw_cursor *c, const struct dw_unit *unit, bool by_index) {
    struct dw_value v = {.class = by_index ? DW_ADDRESS_X : DW_ADDRESS};
    uint64_t address = 0;
    v.number = by_index ? dw_uleb(c) : dw_fixed(c, unit->address_size);
    if (!dw_address(c->d, unit, &v, &address)) dw_fail(c);
    return address;
}

/* .debug_rnglists, version 5. */
static bool list_covers(struct bc_debug *d, const struct dw_unit *unit, uint64_t at, uint64_t address) {
    struct dw_cursor c = dw_cursor_at(d, DW_RNGLISTS, at);
    uint64_t base = unit->low_pc;
    for (;;) {
        uint64_t kind = dw_fixed(&c, 1), low = 0, size = 0;
        bool by_index = kind < RLE_PAIR;
        if (c.failed || kind == RLE_END || kind > RLE_START_LENGTH) return false;
        if (kind == RLE_BASE_X || kind == RLE_BASE) {
            base = list_address(&c, unit, by_index);
            continue;
        }
        if (kind == RLE_PAIR) {
            low = dw_uleb(&c);
            size = dw_uleb(&c) - low;
            low += base;
        } else {
            low = list_address(&c, unit, by_index);
            bool length = kind == RLE_START_LENGTH || kind == RLE_START_LENGTH_X;
            size = length ? dw_uleb(&c) : list_address(&c, unit, by_index) - low;
        }
        if (!c.failed && address >= low && address - low < size) return true;
    }
}

bool dw_ranges_cover(struct bc_debug *d, const struct dw_unit *unit, const struct dw_value *ranges,
                     uint64_t address) {
    uint64_t at = ranges->number;
    if (unit->version < 5) return old_ranges_cover(d, unit, at, address);
    if (ranges->class == DW_RANGES_X) {
        if (!indexed(d, DW_RNGLISTS, unit->rnglists_base, at, unit->offset_size, &at)) return false;
        if (__builtin_add_overflow(at, unit->rnglists_base, &at)) return false;
    }
    return list_covers(d, unit, at, address);
}
