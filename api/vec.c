/* api/vec.c: vectors of bytes, values and pointers to objects. A vector that cannot be made whole is empty.
 */
#include "api/internal.h"

#define VEC_BASE(name, item)                                                                                 \
    void api_##name##_vec(const struct atoll_alloc *alloc, wasm_##name##_vec_t *out, size_t n) {             \
        out->data = n ? api_new(alloc, n, sizeof(item)) : NULL;                                              \
        out->size = out->data ? n : 0;                                                                       \
    }                                                                                                        \
    void wasm_##name##_vec_new_empty(wasm_##name##_vec_t *out) { *out = (wasm_##name##_vec_t){0, NULL}; }    \
    void wasm_##name##_vec_new_uninitialized(wasm_##name##_vec_t *out, size_t n) {                           \
        api_##name##_vec(&atoll_default_alloc, out, n);                                                      \
    }                                                                                                        \
    void wasm_##name##_vec_new(wasm_##name##_vec_t *out, size_t n, item const items[]) {                     \
        wasm_##name##_vec_new_uninitialized(out, n);                                                         \
        if (out->size) memcpy(out->data, items, n * sizeof(item));                                           \
    }
#define VEC_END(name)                                                                                        \
    api_free(v->data);                                                                                       \
    *v = (wasm_##name##_vec_t){0, NULL};

VEC_BASE(byte, byte_t)
bool api_bytes(const struct atoll_alloc *alloc, wasm_byte_vec_t *out, size_t n, const void *bytes) {
    api_byte_vec(alloc, out, n);
    if (out->size) memcpy(out->data, bytes, n);
    return out->size == n;
}
void wasm_byte_vec_copy(wasm_byte_vec_t *out, const wasm_byte_vec_t *from) {
    wasm_byte_vec_new(out, from->size, from->data);
}
void wasm_byte_vec_delete(wasm_byte_vec_t *v){VEC_END(byte)}

VEC_BASE(val, wasm_val_t) void wasm_val_vec_copy(wasm_val_vec_t *out, const wasm_val_vec_t *from) {
    wasm_val_vec_new_uninitialized(out, from->size);
    for (size_t i = 0; i < out->size; i++) wasm_val_copy(&out->data[i], &from->data[i]);
}
void wasm_val_vec_delete(wasm_val_vec_t *v) {
    for (size_t i = 0; i < v->size; i++) wasm_val_delete(&v->data[i]);
    VEC_END(val)
}

#define VEC_OF_POINTERS(name)                                                                                \
    VEC_BASE(name, wasm_##name##_t *)                                                                        \
    bool api_##name##_vec_copy(const struct atoll_alloc *alloc, wasm_##name##_vec_t *out,                    \
                               const wasm_##name##_vec_t *from) {                                            \
        api_##name##_vec(alloc, out, from->size);                                                            \
        bool ok = out->size == from->size;                                                                   \
        for (size_t i = 0; i < out->size; i++) {                                                             \
            out->data[i] = from->data[i] ? wasm_##name##_copy(from->data[i]) : NULL;                         \
            ok &= !out->data[i] == !from->data[i];                                                           \
        }                                                                                                    \
        if (!ok) wasm_##name##_vec_delete(out);                                                              \
        return ok;                                                                                           \
    }                                                                                                        \
    void wasm_##name##_vec_copy(wasm_##name##_vec_t *out, const wasm_##name##_vec_t *from) {                 \
        api_##name##_vec_copy(&atoll_default_alloc, out, from);                                              \
    }                                                                                                        \
    void wasm_##name##_vec_delete(wasm_##name##_vec_t *v) {                                                  \
        for (size_t i = 0; i < v->size; i++)                                                                 \
            if (v->data[i]) wasm_##name##_delete(v->data[i]);                                                \
        VEC_END(name)                                                                                        \
    }
VEC_OF_POINTERS(valtype)
VEC_OF_POINTERS(functype)
VEC_OF_POINTERS(globaltype)
VEC_OF_POINTERS(tabletype)
VEC_OF_POINTERS(memorytype)
VEC_OF_POINTERS(externtype)
VEC_OF_POINTERS(importtype)
VEC_OF_POINTERS(exporttype)
VEC_OF_POINTERS(frame)
VEC_OF_POINTERS(extern)
