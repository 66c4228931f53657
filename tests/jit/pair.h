/* tests/jit/pair.h: compiled code beside the interpreter. */
#ifndef ATOLL_TESTS_JIT_PAIR_H
#define ATOLL_TESTS_JIT_PAIR_H

#include <inttypes.h>
#include "tests/runtime/fixture.h"

/* One program in all tiers: interpreted, compiled in advance, compiled where it comes by. */
enum { TIERS = 3 };
struct pair {
    struct world worlds[TIERS];
    struct rt_instance *instances[TIERS];
};

static inline void open_pair_as(struct pair *p, const char *text, const char *imports, bool deterministic) {
    const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};
    for (int i = 0; i < TIERS; i++) {
        struct rt_config config = {.tier = tiers[i], .relaxed_deterministic = deterministic};
        open_world(&p->worlds[i], &config, NULL);
        struct rt_instance *from = imports ? start(&p->worlds[i], imports, NULL) : NULL;
        p->instances[i] = start(&p->worlds[i], text, from);
    }
}

static inline void open_pair(struct pair *p, const char *text, const char *imports) {
    open_pair_as(p, text, imports, false);
}

static inline void close_pair(struct pair *p) {
    for (int i = 0; i < TIERS; i++) close_world(&p->worlds[i]);
}

static inline void same_frames(const struct rt_store *a, const struct rt_store *b) {
    assert_int_equal(a->n_frames, b->n_frames);
    for (uint32_t i = 0; i < a->n_frames; i++) {
        const struct rt_frame *x = rt_store_frame(a, i), *y = rt_store_frame(b, i);
        if (!x || !y) continue;
        assert_int_equal(x->func, y->func);
        assert_int_equal(x->offset, y->offset);
        assert_int_equal(x->instance->id, y->instance->id);
    }
}

/* The export does the same in all: result, or trap and backtrace. */
static inline uint64_t same(struct pair *p, const char *name, uint64_t x, uint64_t y) {
    uint64_t first = 0;
    enum atoll_status expected = try_call(&p->worlds[0], p->instances[0], name, x, y, 0, &first);
    for (int i = 1; i < TIERS; i++) {
        uint64_t result = 0;
        enum atoll_status status = try_call(&p->worlds[i], p->instances[i], name, x, y, 0, &result);
        if (status != expected)
            fail_msg("%s(%" PRIu64 ", %" PRIu64 "): %s, tier %d %s", name, x, y,
                     expected ? p->worlds[0].err.text : "ok", i, status ? p->worlds[i].err.text : "ok");
        assert_int_equal(first, result);
        if (!status) continue;
        assert_int_equal(p->worlds[0].store->trap, p->worlds[i].store->trap);
        same_frames(p->worlds[0].store, p->worlds[i].store);
    }
    return first;
}

static inline bool compiled(const struct pair *p, const char *name) {
    struct rt_func *f = func(p->instances[1], name);
    return !jit_declined(f->instance->module, f->index);
}

#endif
