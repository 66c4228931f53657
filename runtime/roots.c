/* runtime/roots.c: what a store holds: the places where a collector finds references. Both use it, Boehm GC for
 * managed objects (heap.c) and the store's own for exceptions (exception_pool.c). */
#include "runtime/internal.h"

struct visitor {
    rt_visit_words *visit;
    void *context;
};

static void visit(const struct visitor *v, void *low, void *high) {
    if (low < high) v->visit(v->context, low, high);
}

static void visit_tables(const struct rt_store *store, const struct visitor *v) {
    for (const struct rt_table *t = store->tables; t; t = t->next)
        if (rt_valtype_managed(&t->elem_type)) visit(v, t->elems, t->elems + t->size);
}

static void visit_instance(const struct rt_instance *instance, const struct visitor *v) {
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = 0; i < bc->n_globals - bc->n_imported_globals; i++) {
        struct rt_global *g = instance->own_globals + i;
        if (rt_valtype_managed(&g->type)) visit(v, g->value, g->value + 1);
    }
    for (uint32_t i = 0; i < bc->n_elems; i++)
        if (instance->elem_items[i])
            visit(v, instance->elem_items[i], instance->elem_items[i] + bc->elems[i].n_items);
}

/* The part of the wasm stack in use: known where the store's thread allocates or is in a host call; a store
 * that another thread runs right now may be anywhere. */
static void visit_stack(const struct rt_store *store, const struct visitor *v) {
    if (store->scan_top)
        visit(v, store->stack, store->scan_top);
    else if (store->activation)
        visit(v, store->stack, store->stack_end);
}

void rt_store_each_root(struct rt_store *store, rt_visit_words *function, void *context) {
    struct visitor v = {function, context};
    visit_stack(store, &v);
    visit_tables(store, &v);
    for (size_t i = 0; i < store->n_instances; i++) visit_instance(store->instances[i], &v);
    if (store->instantiating) visit_instance(store->instantiating, &v);
    rt_store_each_host_global(store, function, context);
    for (struct rt_root *r = store->roots; r; r = r->next) visit(&v, &r->ref, &r->ref + 1);
    visit(&v, &store->thrown, &store->thrown + 1);
    if (store->n_thrown_values)
        visit(&v, store->thrown_values, store->thrown_values + store->n_thrown_values);
}
