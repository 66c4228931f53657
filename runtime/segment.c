/* runtime/segment.c: element and data segments at instantiation. */
#include <string.h>
#include "runtime/internal.h"

#define POLL_EVERY 65536 /* items, or segments: about a millisecond */

static enum rt_trap eval_item(struct rt_instance *instance, const struct bc_elem *elem, uint32_t i,
                              union rt_slot *out) {
    if (elem->funcs) {
        out->ref = instance->funcs[elem->funcs[i]];
        return RT_TRAP_NONE;
    }
    union rt_slot value[2];
    enum rt_trap trap = rt_const_eval(instance, elem->exprs[i], value);
    *out = value[0];
    return trap;
}

static enum rt_trap eval_items(struct rt_instance *instance, uint32_t segment) {
    const struct bc_elem *elem = instance->module->bc->elems + segment;
    if (!elem->n_items) return RT_TRAP_NONE;
    union rt_slot *items = atoll_new(rt_alloc(instance->store), elem->n_items, sizeof *items);
    if (!items) return RT_TRAP_OUT_OF_MEMORY;
    instance->elem_items[segment] = items;
    enum rt_trap trap = RT_TRAP_NONE;
    for (uint32_t i = 0; i < elem->n_items && !trap; i++) {
        trap = eval_item(instance, elem, i, items + i);
        if (!trap && (i + 1) % POLL_EVERY == 0) trap = rt_poll(instance->store);
    }
    return trap;
}

/* Active segments are evaluated as they are copied, declared ones never: nobody can read those items. */
enum rt_trap rt_elems_evaluate(struct rt_instance *instance) {
    const struct bc_module *bc = instance->module->bc;
    enum rt_trap trap = RT_TRAP_NONE;
    for (uint32_t i = 0; i < bc->n_elems && !trap; i++)
        if (bc->elems[i].mode == BC_SEGMENT_PASSIVE) trap = eval_items(instance, i);
    return trap;
}

void rt_elem_drop(struct rt_instance *instance, uint32_t segment) {
    size_t bytes = instance->module->bc->elems[segment].n_items * sizeof(union rt_slot);
    atoll_free(rt_alloc(instance->store), instance->elem_items[segment], bytes);
    instance->elem_items[segment] = NULL;
    instance->dropped_elems[segment] = 1;
}

/* An offset in the address type of its table or memory: i32 values are in the low half, the rest is zero. */
static enum rt_trap eval_offset(struct rt_instance *instance, struct bc_range expr, uint64_t *out) {
    union rt_slot value[2];
    enum rt_trap trap = rt_const_eval(instance, expr, value);
    *out = value[0].u64;
    return trap;
}

static enum rt_trap apply_elem(struct rt_instance *instance, const struct bc_elem *elem) {
    struct rt_table *table = instance->tables[elem->table];
    uint64_t at;
    enum rt_trap trap = eval_offset(instance, elem->offset, &at);
    if (trap) return trap;
    if (at > table->size || elem->n_items > table->size - at) return RT_TRAP_TABLE_BOUNDS;
    for (uint32_t i = 0; i < elem->n_items && !trap; i++) {
        trap = eval_item(instance, elem, i, table->elems + at + i);
        if (!trap && (i + 1) % POLL_EVERY == 0) trap = rt_poll(instance->store);
    }
    return trap;
}

enum rt_trap rt_elems_apply(struct rt_instance *instance) {
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = 0; i < bc->n_elems; i++) {
        if (bc->elems[i].mode == BC_SEGMENT_PASSIVE) continue;
        enum rt_trap trap = RT_TRAP_NONE;
        if (bc->elems[i].mode == BC_SEGMENT_ACTIVE) trap = apply_elem(instance, bc->elems + i);
        if (trap) return trap;
        rt_elem_drop(instance, i);
    }
    return RT_TRAP_NONE;
}

static enum rt_trap apply_data(struct rt_instance *instance, uint32_t segment) {
    const struct bc_data *data = instance->module->bc->datas + segment;
    uint64_t at;
    enum rt_trap trap = eval_offset(instance, data->offset, &at);
    if (trap) return trap;
    return rt_memory_init(instance, instance->memories[data->memory], segment, at, 0, data->bytes.size);
}

enum rt_trap rt_datas_apply(struct rt_instance *instance, const struct rt_image *image) {
    const struct bc_module *bc = instance->module->bc;
    bool mapped = image && rt_image_map(image, instance->memories[image->memory]);
    for (uint32_t i = 0; i < bc->n_datas; i++) {
        if (bc->datas[i].mode != BC_SEGMENT_ACTIVE) continue;
        bool in_image = mapped && i < image->n_segments;
        enum rt_trap trap = in_image ? RT_TRAP_NONE : apply_data(instance, i);
        if (!trap && (i + 1) % POLL_EVERY == 0) trap = rt_poll(instance->store);
        if (trap) return trap;
        rt_data_drop(instance, i);
    }
    return RT_TRAP_NONE;
}
