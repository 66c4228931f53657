/* runtime/budget.c: what the stores of one program use together: bytes, elements, counts, fuel. */
#include "runtime/internal.h"

/* At most: what a store takes at once is out of its siblings' reach. */
#define FUEL_PORTION INT64_C(1000000)

struct rt_budget *rt_budget_new(const struct atoll_alloc *alloc, const struct rt_limits *limits) {
    struct rt_budget *budget = atoll_new(alloc, 1, sizeof *budget);
    if (!budget) return NULL;
    budget->alloc = alloc;
    if (limits) budget->limits = *limits;
    atomic_init(&budget->refs, 1);
    return budget;
}

void rt_budget_ref(struct rt_budget *budget) { atomic_fetch_add(&budget->refs, 1); }

void rt_budget_unref(struct rt_budget *budget) {
    if (budget && atomic_fetch_sub(&budget->refs, 1) == 1) atoll_free(budget->alloc, budget, sizeof *budget);
}

bool rt_budget_take(_Atomic uint64_t *count, uint64_t n, uint64_t limit) {
    uint64_t now = atomic_load(count);
    do {
        if (limit && (now > limit || n > limit - now)) return false;
    } while (!atomic_compare_exchange_weak(count, &now, now + n));
    return true;
}

/* ---- fuel ---- */

void rt_fuel_give(struct rt_store *store) {
    if (store->fuel <= 0) return;
    atomic_fetch_add(&store->budget->fuel, store->fuel);
    store->fuel = 0;
}

/* A portion gets smaller as fuel runs out, so that little is left unused in other stores. */
bool rt_fuel_take(struct rt_store *store) {
    int64_t left = atomic_load(&store->budget->fuel), portion;
    do {
        int64_t needed = -store->fuel, share = left / 16;
        if (left < needed) return false;
        portion = needed + (share < FUEL_PORTION ? share : FUEL_PORTION);
        if (portion > left) portion = left;
    } while (!atomic_compare_exchange_weak(&store->budget->fuel, &left, left - portion));
    store->fuel += portion;
    return true;
}
