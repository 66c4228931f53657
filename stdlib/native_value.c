/* stdlib/native_value.c: scalars and structs as C on the host has them and as wasm32 and wasm64 have them. */
#include "stdlib/native.h"

/* ---- scalars ---- */

/* text, C type, libffi's, bytes in wasm32 and in wasm64, signed, floating-point, bool */
#define SC(text, type, ffi, narrow, wide, sign, flt, boolean)                                                \
    { text, &ffi, sizeof(type), {narrow, wide}, sign, flt, boolean }
static const struct native_scalar scalars[] = {
    SC("char", char, ffi_type_schar, 1, 1, true, false, false),
    SC("signed char", signed char, ffi_type_schar, 1, 1, true, false, false),
    SC("unsigned char", unsigned char, ffi_type_uchar, 1, 1, false, false, false),
    SC("short", short, ffi_type_sshort, 2, 2, true, false, false),
    SC("unsigned short", unsigned short, ffi_type_ushort, 2, 2, false, false, false),
    SC("int", int, ffi_type_sint, 4, 4, true, false, false),
    SC("enum", int, ffi_type_sint, 4, 4, true, false, false),
    SC("unsigned int", unsigned, ffi_type_uint, 4, 4, false, false, false),
    SC("unsigned", unsigned, ffi_type_uint, 4, 4, false, false, false),
    SC("long", long, ffi_type_slong, 4, 8, true, false, false),
    SC("unsigned long", unsigned long, ffi_type_ulong, 4, 8, false, false, false),
    SC("long long", long long, ffi_type_sint64, 8, 8, true, false, false),
    SC("unsigned long long", unsigned long long, ffi_type_uint64, 8, 8, false, false, false),
    SC("size_t", size_t, ffi_type_uint64, 4, 8, false, false, false),
    SC("ssize_t", ssize_t, ffi_type_sint64, 4, 8, true, false, false),
    SC("int8_t", int8_t, ffi_type_sint8, 1, 1, true, false, false),
    SC("uint8_t", uint8_t, ffi_type_uint8, 1, 1, false, false, false),
    SC("int16_t", int16_t, ffi_type_sint16, 2, 2, true, false, false),
    SC("uint16_t", uint16_t, ffi_type_uint16, 2, 2, false, false, false),
    SC("int32_t", int32_t, ffi_type_sint32, 4, 4, true, false, false),
    SC("uint32_t", uint32_t, ffi_type_uint32, 4, 4, false, false, false),
    SC("int64_t", int64_t, ffi_type_sint64, 8, 8, true, false, false),
    SC("uint64_t", uint64_t, ffi_type_uint64, 8, 8, false, false, false),
    SC("_Bool", bool, ffi_type_uint8, 1, 1, false, false, true),
    SC("bool", bool, ffi_type_uint8, 1, 1, false, false, true),
    SC("float", float, ffi_type_float, 4, 4, true, true, false),
    SC("double", double, ffi_type_double, 8, 8, true, true, false),
};

const struct native_scalar *native_scalar_named(const char *name) {
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        if (!strcmp(scalars[i].name, name)) return &scalars[i];
    return NULL;
}

/* ---- layout ---- */

static uint32_t align_up(uint32_t at, uint32_t align) { return (at + align - 1) / align * align; }

static bool push_field(struct native *n, struct native_struct *s, struct native_field field) {
    void *p = s->fields;
    if (atoll_grow(n->alloc, &p, &s->cap_fields, s->n_fields + 1, sizeof *s->fields)) return false;
    s->fields = p;
    s->fields[s->n_fields++] = field;
    return true;
}

static bool push_elements(struct native *n, struct native_struct *s, const ffi_type *type, uint32_t count) {
    void *p = s->elements;
    if (atoll_grow(n->alloc, &p, &s->cap_elements, s->n_elements + count + 1, sizeof *s->elements))
        return false;
    s->elements = p;
    for (uint32_t i = 0; i < count; i++) s->elements[s->n_elements++] = (ffi_type *)(uintptr_t)type;
    s->ffi = (ffi_type){.type = FFI_TYPE_STRUCT, .elements = s->elements};
    return true;
}

/* Room at the end of the struct for `count` of the size; its start. */
static uint32_t place(uint32_t *size, uint32_t *align, uint32_t item_size, uint32_t item_align,
                      uint32_t count) {
    uint32_t at = align_up(*size, item_align);
    *size = at + item_size * count;
    if (item_align > *align) *align = item_align;
    return at;
}

enum atoll_status native_struct_add(struct native *n, struct native_struct *s,
                                    const struct native_scalar *scalar, const struct native_struct *inner,
                                    uint32_t count) {
    uint32_t size = scalar ? scalar->host_size : inner->host_size, guest_at[2];
    if (!count || count > NATIVE_STRUCT_BYTES || s->host_size + size * count > NATIVE_STRUCT_BYTES)
        return ATOLL_E_LIMIT;
    uint32_t at = place(&s->host_size, &s->host_align, size, scalar ? size : inner->host_align, count);
    for (int w = 0; w < 2; w++) {
        uint32_t guest_size = scalar ? scalar->guest_size[w] : inner->guest_size[w];
        uint32_t align = scalar ? guest_size : inner->guest_align[w];
        guest_at[w] = place(&s->guest_size[w], &s->guest_align[w], guest_size, align, count);
    }
    bool ok = push_elements(n, s, scalar ? scalar->ffi : &inner->ffi, count);
    if (scalar)
        return ok && push_field(n, s, (struct native_field){scalar, count, at, {guest_at[0], guest_at[1]}})
                   ? ATOLL_OK
                   : ATOLL_E_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        for (size_t k = 0; k < inner->n_fields && ok; k++) {
            struct native_field field = inner->fields[k];
            field.host_at += at + i * inner->host_size;
            for (int w = 0; w < 2; w++) field.guest_at[w] += guest_at[w] + i * inner->guest_size[w];
            ok = push_field(n, s, field);
        }
    return ok ? ATOLL_OK : ATOLL_E_NOMEM;
}

void native_struct_end(struct native_struct *s) {
    s->host_size = align_up(s->host_size, s->host_align);
    for (int w = 0; w < 2; w++) s->guest_size[w] = align_up(s->guest_size[w], s->guest_align[w]);
}

const struct native_scalar *native_struct_single(const struct native_struct *s) {
    return s->n_fields == 1 && s->fields[0].count == 1 ? s->fields[0].scalar : NULL;
}

bool native_struct_in_place(const struct native_struct *s) {
    bool same = s->guest_size[0] == s->host_size && s->guest_size[1] == s->host_size;
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct native_field *f = &s->fields[i];
        same &= f->guest_at[0] == f->host_at && f->guest_at[1] == f->host_at;
        same &= f->scalar->guest_size[0] == f->scalar->host_size && !f->scalar->is_bool;
    }
    return same;
}

/* ---- values ---- */

/* Sign- or zero-extends the low `size` bytes. */
int64_t native_extend(uint64_t bits, unsigned size, bool is_signed) {
    unsigned shift = 64 - 8 * size;
    return is_signed ? (int64_t)(bits << shift) >> shift : (int64_t)(bits << shift >> shift);
}

bool native_scalar_in(const struct native_scalar *s, bool wide, union rt_slot slot, union native_word *out) {
    if (s->is_float || s->guest_size[wide] == 8) return out->u64 = slot.u64, true;
    int64_t value = native_extend(slot.u64, 4, s->is_signed);
    *out = (union native_word){.i64 = value};
    if (s->is_bool) return slot.u32 <= 1;
    return native_extend((uint64_t)value, s->host_size, s->is_signed) == value;
}

bool native_scalar_out(const struct native_scalar *s, bool wide, union native_word word, union rt_slot *out) {
    out->u64 = 0;
    if (s->is_float || s->guest_size[wide] == 8) {
        memcpy(out, &word, s->host_size);
        return true;
    }
    int64_t value = native_extend(word.u64, s->host_size, s->is_signed);
    out->u32 = (uint32_t)value;
    return native_extend((uint64_t)value, s->guest_size[wide], s->is_signed) == value;
}

void native_scalar_load(const struct native_scalar *s, bool wide, const uint8_t *guest, uint8_t *host) {
    uint64_t bits = 0;
    memcpy(&bits, guest, s->guest_size[wide]);
    if (!s->is_float) bits = (uint64_t)native_extend(bits, s->guest_size[wide], s->is_signed);
    if (s->is_bool) bits = bits != 0; /* no other byte is a bool to C */
    memcpy(host, &bits, s->host_size);
}

bool native_scalar_store(const struct native_scalar *s, bool wide, const uint8_t *host, uint8_t *guest) {
    union native_word word = {0};
    union rt_slot slot;
    memcpy(&word, host, s->host_size);
    bool fits = native_scalar_out(s, wide, word, &slot);
    memcpy(guest, &slot, s->guest_size[wide]);
    return fits;
}

void native_struct_load(const struct native_struct *s, bool wide, const uint8_t *guest, uint8_t *host) {
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct native_field *f = &s->fields[i];
        for (uint32_t k = 0; k < f->count; k++)
            native_scalar_load(f->scalar, wide, guest + f->guest_at[wide] + k * f->scalar->guest_size[wide],
                               host + f->host_at + k * f->scalar->host_size);
    }
}

bool native_struct_store(const struct native_struct *s, bool wide, const uint8_t *host, uint8_t *guest) {
    bool fits = true;
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct native_field *f = &s->fields[i];
        for (uint32_t k = 0; k < f->count; k++)
            fits &= native_scalar_store(f->scalar, wide, host + f->host_at + k * f->scalar->host_size,
                                        guest + f->guest_at[wide] + k * f->scalar->guest_size[wide]);
    }
    return fits;
}
