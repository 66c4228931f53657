/* bytecode/validate_bodies.c: the bodies of functions, which know nothing of each other: those of a large module are
 * checked by several threads. The fault that is told is the first in the module, whoever found it. */
#include "bytecode/validate.h"
#include "bytecode/stress.h"
#include "bytecode/thread.h"

#include <string.h>

/* Types of the parameters and the first locals in an array; a declaration of many locals in few bytes is not expanded. */
#define FLAT_LOCALS ATOLL_LIMIT(256u, 2u)

static bool flatten_locals(struct validator *v, const struct bc_func *f, const struct bc_type *t) {
    uint32_t n = t->n_params;
    v->n_flat = n + (f->n_locals < FLAT_LOCALS ? f->n_locals : FLAT_LOCALS);
    void *p = v->locals;
    if (atoll_grow(v->alloc, &p, &v->locals_capacity, v->n_flat, sizeof *v->locals)) return false;
    v->locals = p;
    if (n) memcpy(v->locals, t->params, n * sizeof *v->locals);
    for (uint32_t i = 0; i < f->n_local_runs && n < v->n_flat; i++)
        for (uint32_t k = 0; k < f->local_runs[i].count && n < v->n_flat; k++)
            v->locals[n++] = f->local_runs[i].type;
    return true;
}

/* Clears n bits from bit `from` on, a word at a time: few bytes declare many locals. */
static void clear_bits(uint64_t *words, uint32_t from, uint32_t n) {
    while (n) {
        uint32_t at = from % 64, here = n < 64 - at ? n : 64 - at;
        words[from / 64] &= here == 64 ? 0 : ~(((UINT64_C(1) << here) - 1) << at);
        from += here;
        n -= here;
    }
}

/* Parameters and locals with a default value start initialised. */
static bool begin_init(struct validator *v, const struct bc_func *f) {
    v->tracks_init = false;
    v->n_undo = 0;
    for (uint32_t i = 0; i < f->n_local_runs; i++)
        v->tracks_init |= f->local_runs[i].count && !bc_valtype_defaultable(f->local_runs[i].type);
    if (!v->tracks_init) return true;
    size_t n_words = v->n_locals / 64 + 1;
    void *p = v->is_init;
    if (atoll_grow(v->alloc, &p, &v->init_capacity, n_words, sizeof *v->is_init)) return false;
    v->is_init = p;
    memset(v->is_init, 0xFF, n_words * sizeof *v->is_init);
    uint32_t local = v->n_params;
    for (uint32_t i = 0; i < f->n_local_runs; local += f->local_runs[i++].count)
        if (!bc_valtype_defaultable(f->local_runs[i].type))
            clear_bits(v->is_init, local, f->local_runs[i].count);
    return true;
}

/* Behind the last body the section ends; behind others the missing end is all that is known. */
static bool is_last(const struct validator *v) { return v->func == &v->m->funcs[v->m->n_funcs - 1]; }

static void run(struct validator *v, struct bc_range code, uint32_t first, bc_features features) {
    v->r.at = first;
    v->r.end = code.offset + code.size;
    v->n_stack = 0;
    while (!bc_reader_stopped(&v->r) && v->n_controls) {
        bc_v_quick(v);
        if (v->r.at == v->r.end)
            bc_reader_fail(&v->r, ATOLL_E_MALFORMED, v->r.at,
                           is_last(v) ? BC_UNEXPECTED_END : "END opcode expected");
        if (!bc_reader_instr(&v->r, &v->in)) return;
        bc_v_instruction(v, features);
    }
    if (!v->r.status && v->r.at != v->r.end)
        bc_reader_fail(&v->r, ATOLL_E_MALFORMED, v->r.at,
                       "section size mismatch: bytes behind the final end");
}

static void body(struct validator *v, const struct bc_func *f, bc_features features) {
    const struct bc_type *t = &v->m->types[f->type];
    v->func = f;
    v->n_params = t->n_params;
    v->n_locals = t->n_params + f->n_locals;
    v->n_visible_globals = v->m->n_globals;
    v->n_controls = 0;
    v->n_stack = 0;
    if (!flatten_locals(v, f, t) || !begin_init(v, f)) {
        bc_v_nomem(v);
        return;
    }
    bc_v_enter(v, BC_BLOCK, f->type | BC_BLOCK_TYPE_INDEX);
    run(v, f->body, f->code_offset, features);
}

void bc_v_fini(struct validator *v) {
    atoll_free(v->alloc, v->stack, v->stack_capacity * sizeof *v->stack);
    atoll_free(v->alloc, v->controls, v->controls_capacity * sizeof *v->controls);
    atoll_free(v->alloc, v->locals, v->locals_capacity * sizeof *v->locals);
    atoll_free(v->alloc, v->is_init, v->init_capacity * sizeof *v->is_init);
    atoll_free(v->alloc, v->undo, v->undo_capacity * sizeof *v->undo);
}

/* ---- shares ---- */

#define MAX_SHARES      8
#define FIRST_OPERANDS  ATOLL_LIMIT(64u, 1u) /* room from the start: bc_v_quick makes none */
#define BYTES_PER_SHARE ATOLL_LIMIT((uint64_t)1 << 20, (uint64_t)64)

struct share {
    struct validator v;
    struct atoll_error err;
    bc_features features;
    uint32_t first, end; /* functions */
    uint32_t number;
    _Atomic uint32_t *failed; /* the lowest share with a fault so far */
    pthread_t thread;
    bool started;
};

/* A share behind one with a fault is of no interest any more. */
static bool is_wanted(const struct share *s) {
    return atomic_load_explicit(s->failed, memory_order_relaxed) >= s->number;
}

static void *check_share(void *context) {
    struct share *s = context;
    bc_v_reserve(&s->v, FIRST_OPERANDS);
    for (uint32_t i = s->first; i < s->end && !s->v.r.status && is_wanted(s); i++)
        body(&s->v, &s->v.m->funcs[i], s->features);
    bc_v_fini(&s->v);
    uint32_t lowest = atomic_load(s->failed);
    while (s->v.r.status && s->number < lowest &&
           !atomic_compare_exchange_weak(s->failed, &lowest, s->number))
        continue;
    return NULL;
}

static uint64_t body_bytes(const struct bc_module *m) {
    uint64_t sum = 0;
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs; i++) sum += m->funcs[i].body.size;
    return sum;
}

/* The functions from `first` on that together have about `bytes`. */
static uint32_t end_of_share(const struct bc_module *m, uint32_t first, uint64_t bytes) {
    uint64_t sum = 0;
    while (first < m->n_funcs && sum < bytes) sum += m->funcs[first++].body.size;
    return first;
}

enum atoll_status bc_v_bodies(struct bc_module *m, const struct bc_config *config, struct atoll_error *err) {
    const struct atoll_alloc *alloc = m->arena.alloc;
    uint64_t bytes = body_bytes(m);
    unsigned n = bc_thread_count();
    if (n > MAX_SHARES) n = MAX_SHARES;
    if (n > bytes / BYTES_PER_SHARE) n = (unsigned)(bytes / BYTES_PER_SHARE);
    if (!n) n = 1;
    struct share *shares = atoll_new(alloc, n, sizeof *shares);
    if (!shares) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    _Atomic uint32_t failed = UINT32_MAX;
    uint32_t next = m->n_imported_funcs;
    for (unsigned i = 0; i < n; i++) {
        struct share *s = shares + i;
        *s = (struct share){
            .features = bc_config_features(config), .number = i, .failed = &failed, .first = next};
        s->end = next = i + 1 < n ? end_of_share(m, next, bytes / n) : m->n_funcs;
        s->v.m = m;
        s->v.alloc = alloc;
        s->v.r = (struct bc_reader){.bytes = m->bytes,
                                    .n_types = m->n_types,
                                    .features = s->features,
                                    .err = &s->err,
                                    .stop = bc_config_stop(config)};
        s->started = i + 1 < n && bc_thread_start(&s->thread, check_share, s);
    }
    for (unsigned i = n; i-- > 0;) /* the last is ours, and those that no thread could be had for */
        if (!shares[i].started) check_share(shares + i);
    enum atoll_status status = ATOLL_OK;
    for (unsigned i = 0; i < n; i++) {
        if (shares[i].started) pthread_join(shares[i].thread, NULL);
        if (status || !shares[i].v.r.status) continue;
        status = shares[i].v.r.status;
        if (err) *err = shares[i].err;
    }
    atoll_free(alloc, shares, n * sizeof *shares);
    return status;
}
