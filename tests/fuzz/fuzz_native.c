/* tests/fuzz/fuzz_native.c: any prototypes file: it is read whole or refused with a place; without enough
 * memory it is refused, and nothing is left. Libraries are not opened. */
#include "tests/fuzz/fuzz.h"
#include "stdlib/native.h"

static enum atoll_status parse(struct fuzz_alloc *memory, const uint8_t *data, size_t size,
                               struct atoll_error *err, struct native **out) {
    struct native *n = *out = atoll_new(&memory->alloc, 1, sizeof *n);
    if (!n) return ATOLL_E_NOMEM;
    n->alloc = &memory->alloc;
    return native_parse(n, (const char *)data, size, err);
}

/* What the rest of the code relies on. */
static void check_func(const struct native_func *f) {
    FUZZ_CHECK(f->n_params <= NATIVE_PARAMS && f->name[0] && f->n_fixed <= f->n_params);
    for (uint32_t i = 0; i < f->n_params; i++) {
        const struct native_param *p = &f->params[i];
        FUZZ_CHECK(p->kind != NATIVE_VOID && p->owner >= -1 && p->owner < (int)f->n_params);
        if (p->kind == NATIVE_SCALAR || p->kind == NATIVE_CELL) FUZZ_CHECK(p->scalar != NULL);
        if (p->kind == NATIVE_STRUCT || p->kind == NATIVE_STRUCT_PTR)
            FUZZ_CHECK(p->st && p->st->n_fields && p->st->host_size <= NATIVE_STRUCT_BYTES);
        for (uint32_t k = 0; k < p->n_factors; k++)
            FUZZ_CHECK(p->factors[k].param < (int)f->n_params &&
                       (p->factors[k].param < 0 || f->params[p->factors[k].param].scalar));
        if (p->conditional) FUZZ_CHECK(p->destroy && f->result.kind == NATIVE_SCALAR);
    }
}

static void check(const struct native *n) {
    FUZZ_CHECK(n->library[0]);
    for (const struct native_func *f = n->funcs; f; f = f->next) check_func(f);
    for (const struct native_func *f = n->callbacks; f; f = f->next) check_func(f);
    for (const struct native_struct *s = n->structs; s; s = s->next)
        for (size_t i = 0; i < s->n_fields; i++) {
            const struct native_field *f = &s->fields[i];
            FUZZ_CHECK(f->host_at + f->count * f->scalar->host_size <= s->host_size);
            for (int w = 0; w < 2; w++)
                FUZZ_CHECK(f->guest_at[w] + f->count * f->scalar->guest_size[w] <= s->guest_size[w]);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_alloc memory;
    struct native *n;
    struct atoll_error err = {0};
    fuzz_alloc_init(&memory, UINT64_MAX);
    enum atoll_status status = parse(&memory, data, size, &err, &n);
    uint64_t n_calls = memory.n_calls;
    FUZZ_CHECK(status == ATOLL_OK || (status == ATOLL_E_SYNTAX && err.line && err.column && err.text[0]));
    if (!status) check(n);
    native_free(n);
    FUZZ_CHECK(memory.n_bytes == 0);

    fuzz_alloc_init(&memory, fuzz_hash(FUZZ_HASH_START, data, size) % n_calls);
    status = parse(&memory, data, size, &err, &n);
    native_free(n);
    FUZZ_CHECK(status == ATOLL_E_NOMEM && memory.n_bytes == 0);
    return 0;
}
