/* jit/slow.c: instructions that have no machine code: new objects, bulk operations, growth and waiting by the runtime's
 * functions, the few others by the interpreter's code, one at a time. */
#include <string.h>
#include "jit/engine.h"

typedef enum rt_trap direct(struct rt_instance *instance, union rt_slot *slots, const struct jit_slow *slow);

struct jit_slow {
    direct *direct;                 /* what does it; NULL: the snippet */
    struct interp_snippet *snippet; /* or NULL */
    uint32_t index, index2;         /* of the instruction */
    uint64_t offset;                /* of the instruction: added to its address */
    const struct rt_layout *layout; /* of objects that it makes or fills */
    uint32_t func, at, n_args;
    uint8_t types[]; /* of the arguments */
};

/* ---- by the runtime ---- */

static enum rt_trap memory_fill(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_memory_fill(instance->store, instance->memories[slow->index], s[0].u64, (uint8_t)s[1].u32,
                          s[2].u64);
}
static enum rt_trap memory_copy(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_memory_copy(instance->store, instance->memories[slow->index], s[0].u64,
                          instance->memories[slow->index2], s[1].u64, s[2].u64);
}
static enum rt_trap memory_init(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_memory_init(instance, instance->memories[slow->index2], slow->index, s[0].u64, s[1].u32,
                          s[2].u32);
}
static enum rt_trap data_drop(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    (void)s;
    rt_data_drop(instance, slow->index);
    return RT_TRAP_NONE;
}
/* What was there before; -1 is cut to the width of the index where the result is taken. */
static enum rt_trap memory_grow(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    rt_memory_grow(instance->memories[slow->index], s[0].u64, &s[0].u64);
    return RT_TRAP_NONE;
}
static enum rt_trap table_grow(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    rt_table_grow(instance->tables[slow->index], s[1].u64, s[0], &s[0].u64);
    return RT_TRAP_NONE;
}

/* The effective address: the runtime checks it. */
static bool effective(const union rt_slot *s, const struct jit_slow *slow, uint64_t *out) {
    return !__builtin_add_overflow(s[0].u64, slow->offset, out);
}
static enum rt_trap notify(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    uint64_t at;
    if (!effective(s, slow, &at)) return RT_TRAP_MEMORY_BOUNDS;
    return rt_memory_notify(instance->memories[slow->index], at, s[1].u32, &s[0].u32);
}
static enum rt_trap wait32(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    uint64_t at;
    if (!effective(s, slow, &at)) return RT_TRAP_MEMORY_BOUNDS;
    return rt_memory_wait(instance->store, instance->memories[slow->index], at, 4, s[1].u32, s[2].i64,
                          &s[0].u32);
}
static enum rt_trap wait64(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    uint64_t at;
    if (!effective(s, slow, &at)) return RT_TRAP_MEMORY_BOUNDS;
    return rt_memory_wait(instance->store, instance->memories[slow->index], at, 8, s[1].u64, s[2].i64,
                          &s[0].u32);
}
static enum rt_trap table_fill(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_table_fill(instance->tables[slow->index], s[0].u64, s[1], s[2].u64);
}
static enum rt_trap table_copy(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_table_copy(instance->tables[slow->index], s[0].u64, instance->tables[slow->index2], s[1].u64,
                         s[2].u64);
}
static enum rt_trap table_init(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_table_init(instance, instance->tables[slow->index2], slow->index, s[0].u64, s[1].u32, s[2].u32);
}
static enum rt_trap elem_drop(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    (void)s;
    rt_elem_drop(instance, slow->index);
    return RT_TRAP_NONE;
}

static enum rt_trap new_struct(struct rt_instance *instance, const struct jit_slow *slow,
                               const union rt_slot *fields, union rt_slot *out) {
    out->ref = rt_struct_new(instance->store, slow->layout, fields);
    return out->ref ? RT_TRAP_NONE : RT_TRAP_OUT_OF_MEMORY;
}
static enum rt_trap struct_new(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return new_struct(instance, slow, s, s);
}
static enum rt_trap struct_new_default(struct rt_instance *instance, union rt_slot *s,
                                       const struct jit_slow *slow) {
    return new_struct(instance, slow, NULL, s);
}
static uint32_t elem_slots(const struct jit_slow *slow) { return slow->layout->elem_log2 == 4 ? 2 : 1; }
static enum rt_trap array_new(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    return rt_array_new(instance->store, slow->layout, s, s[elem_slots(slow)].u32, &s[0].ref);
}
static enum rt_trap array_new_default(struct rt_instance *instance, union rt_slot *s,
                                      const struct jit_slow *slow) {
    return rt_array_new(instance->store, slow->layout, NULL, s[0].u32, &s[0].ref);
}
static enum rt_trap array_new_fixed(struct rt_instance *instance, union rt_slot *s,
                                    const struct jit_slow *slow) {
    return rt_array_new_fixed(instance->store, slow->layout, s, slow->index2, &s[0].ref);
}
static enum rt_trap array_new_data(struct rt_instance *instance, union rt_slot *s,
                                   const struct jit_slow *slow) {
    return rt_array_new_data(instance, slow->layout, slow->index2, s[0].u32, s[1].u32, &s[0].ref);
}
static enum rt_trap array_new_elem(struct rt_instance *instance, union rt_slot *s,
                                   const struct jit_slow *slow) {
    return rt_array_new_elem(instance, slow->layout, slow->index2, s[0].u32, s[1].u32, &s[0].ref);
}
static enum rt_trap array_init_data(struct rt_instance *instance, union rt_slot *s,
                                    const struct jit_slow *slow) {
    if (!s[0].ref) return RT_TRAP_NULL_ARRAY;
    return rt_array_init_data(instance, s[0].ref, slow->index2, s[1].u32, s[2].u32, s[3].u32);
}
static enum rt_trap array_init_elem(struct rt_instance *instance, union rt_slot *s,
                                    const struct jit_slow *slow) {
    if (!s[0].ref) return RT_TRAP_NULL_ARRAY;
    return rt_array_init_elem(instance, s[0].ref, slow->index2, s[1].u32, s[2].u32, s[3].u32);
}
static enum rt_trap array_fill(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    if (!s[0].ref) return RT_TRAP_NULL_ARRAY;
    return rt_array_fill(instance->store, s[0].ref, s[1].u32, s + 2, s[2 + elem_slots(slow)].u32);
}
static enum rt_trap array_copy(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    (void)slow;
    if (!s[0].ref || !s[2].ref) return RT_TRAP_NULL_ARRAY;
    return rt_array_copy(instance->store, s[0].ref, s[1].u32, s[2].ref, s[3].u32, s[4].u32);
}
static enum rt_trap externalize(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    (void)instance, (void)slow;
    s[0].ref = rt_ref_externalize(s[0].ref);
    return RT_TRAP_NONE;
}
static enum rt_trap internalize(struct rt_instance *instance, union rt_slot *s, const struct jit_slow *slow) {
    (void)slow;
    void *external = s[0].ref;
    s[0].ref = rt_ref_internalize(instance->store, external);
    return external && !s[0].ref ? RT_TRAP_OUT_OF_MEMORY : RT_TRAP_NONE;
}

static direct *direct_of(uint16_t op) {
    switch (op) {
    case BC_MEMORY_FILL: return memory_fill;
    case BC_MEMORY_COPY: return memory_copy;
    case BC_MEMORY_INIT: return memory_init;
    case BC_MEMORY_GROW: return memory_grow;
    case BC_DATA_DROP: return data_drop;
    case BC_MEMORY_ATOMIC_NOTIFY: return notify;
    case BC_MEMORY_ATOMIC_WAIT32: return wait32;
    case BC_MEMORY_ATOMIC_WAIT64: return wait64;
    case BC_TABLE_FILL: return table_fill;
    case BC_TABLE_COPY: return table_copy;
    case BC_TABLE_INIT: return table_init;
    case BC_TABLE_GROW: return table_grow;
    case BC_ELEM_DROP: return elem_drop;
    case BC_STRUCT_NEW: return struct_new;
    case BC_STRUCT_NEW_DEFAULT: return struct_new_default;
    case BC_ARRAY_NEW: return array_new;
    case BC_ARRAY_NEW_DEFAULT: return array_new_default;
    case BC_ARRAY_NEW_FIXED: return array_new_fixed;
    case BC_ARRAY_NEW_DATA: return array_new_data;
    case BC_ARRAY_NEW_ELEM: return array_new_elem;
    case BC_ARRAY_INIT_DATA: return array_init_data;
    case BC_ARRAY_INIT_ELEM: return array_init_elem;
    case BC_ARRAY_FILL: return array_fill;
    case BC_ARRAY_COPY: return array_copy;
    case BC_EXTERN_CONVERT_ANY: return externalize;
    case BC_ANY_CONVERT_EXTERN: return internalize;
    default: return NULL;
    }
}

static bool is_of_objects(uint16_t op) { return op >= BC_STRUCT_NEW && op <= BC_ARRAY_INIT_ELEM; }

/* ---- making them ---- */

static void find_direct(const struct rt_module *module, struct jit_slow *slow, const struct bc_instr *in) {
    uint16_t op = (uint16_t)in->op;
    slow->index = in->index;
    slow->index2 = in->index2;
    if (bc_op_infos[op].immediates == BC_IMM_MEMARG) slow->offset = in->memarg_offset;
    if (is_of_objects(op) && module->engine->heap && in->index < module->bc->n_types)
        slow->layout = rt_layout_of(module->engine, module->types[in->index]);
    if (!is_of_objects(op) || slow->layout) slow->direct = direct_of(op);
}

static bool make_snippet(struct rt_module *module, struct jit_slow *slow) {
    static const uint8_t kinds[] = {BC_KIND_BOTTOM, BC_KIND_I32, BC_KIND_I64,
                                    BC_KIND_F32,    BC_KIND_F64, BC_KIND_V128};
    const struct atoll_alloc *alloc = module->engine->alloc;
    uint32_t n = slow->n_args;
    uint8_t *operand_kinds = atoll_new(alloc, n + 1u, 1);
    if (!operand_kinds) return false;
    for (uint32_t i = 0; i < n; i++) operand_kinds[i] = kinds[slow->types[i]];
    slow->snippet = interp_snippet_new(module, slow->func, slow->at, n, operand_kinds);
    atoll_free(alloc, operand_kinds, n + 1u);
    return slow->snippet;
}

static void free_slow(struct rt_module *module, struct jit_slow *slow) {
    if (slow->snippet) interp_snippet_free(module, slow->snippet);
    atoll_free(module->engine->alloc, slow, sizeof *slow + slow->n_args);
}

/* Its number; UINT32_MAX: out of memory. */
static uint32_t add_slow(struct rt_module *module, struct jit_slow *slow) {
    struct jit_module *jit = module->jit_data;
    uint32_t number = UINT32_MAX;
    pthread_mutex_lock(&jit->slow_lock);
    if (!atoll_grow(module->engine->alloc, (void **)&jit->slows, &jit->cap_slows, jit->n_slows + 1,
                    sizeof *jit->slows)) {
        number = (uint32_t)jit->n_slows++;
        jit->slows[number] = slow;
    }
    pthread_mutex_unlock(&jit->slow_lock);
    return number;
}

uint32_t jit_slow_new(struct rt_module *module, uint32_t func, uint32_t at, uint32_t n_args,
                      const uint8_t *types) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct bc_instr in = {0};
    struct jit_slow *slow = atoll_new(alloc, 1, sizeof *slow + n_args);
    if (!slow) return UINT32_MAX;
    *slow = (struct jit_slow){.func = func, .at = at, .n_args = n_args};
    if (n_args) memcpy(slow->types, types, n_args);
    if (!bc_decode_instr(module->bc, at, (uint32_t)module->bc->n_bytes, &in, NULL))
        find_direct(module, slow, &in);
    if (!slow->direct && !make_snippet(module, slow)) {
        free_slow(module, slow);
        return UINT32_MAX;
    }
    uint32_t number = add_slow(module, slow);
    if (number == UINT32_MAX) free_slow(module, slow);
    return number;
}

const struct jit_slow *jit_slow_of(struct jit_module *jit, uint32_t number) {
    pthread_mutex_lock(&jit->slow_lock);
    const struct jit_slow *slow = jit->slows[number];
    pthread_mutex_unlock(&jit->slow_lock);
    return slow;
}

void jit_slows_free(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    for (size_t i = 0; i < jit->n_slows; i++) free_slow(module, jit->slows[i]);
    atoll_free(module->engine->alloc, jit->slows, jit->cap_slows * sizeof *jit->slows);
    jit->slows = NULL;
    jit->n_slows = jit->cap_slows = 0;
}

enum rt_trap jit_slow_run(struct rt_instance *instance, union rt_slot *slots, const struct jit_slow *slow) {
    struct rt_store *store = instance->store;
    jit_seen(store);
    jit_run_stands(store, instance);
    store->n_frames = 0;
    enum rt_trap trap = slow->direct ? slow->direct(instance, slots, slow)
                                     : interp_snippet_run(instance, slow->snippet, slots);
    if (trap) rt_store_capture(store); /* the snippet's own frame is none of the program's */
    return trap;
}

void jit_slow_put(const struct jit_slow *slow, struct bc_buf *out) {
    bc_buf_fixed(out, slow->func, 4);
    bc_buf_fixed(out, slow->at, 4);
    bc_buf_fixed(out, slow->n_args, 4);
    bc_buf_bytes(out, slow->types, slow->n_args);
}
