/* interp/exec_misc.c: handlers of globals, tables, references, bulk operations and atomics. */
#include "interp/dispatch.h"

/* ---- globals, references ---- */

#define GLOBAL_GET(acc, field)                                                                               \
    HANDLER(GLOBAL_GET_##acc)                                                                                \
    {                                                                                                        \
        acc = inst->globals[OPD(1)]->value[0].field;                                                         \
        NEXT(2);                                                                                             \
    }                                                                                                        \
    HANDLER(GLOBAL_GET_##acc##_D)                                                                            \
    {                                                                                                        \
        acc = inst->globals[OPD(1)]->value[0].field;                                                         \
        SLOT(0).field = acc;                                                                                 \
        NEXT(2);                                                                                             \
    }
GLOBAL_GET(r0, u64)
GLOBAL_GET(d0, f64)
GLOBAL_GET(s0, f32)
HANDLER(GLOBAL_GET_v)
{
    memcpy(&SLOT(0), inst->globals[OPD(1)]->value, 16);
    NEXT(2);
}
HANDLER(GLOBAL_SET_S)
{
    inst->globals[OPD(1)]->value[0].u64 = SLOT(0).u64;
    NEXT(2);
}
HANDLER(GLOBAL_SET_A)
{
    inst->globals[OPD(1)]->value[0].u64 = r0;
    NEXT(2);
}
HANDLER(GLOBAL_SET_f)
{
    inst->globals[OPD(1)]->value[0].u64 = SLOT(0).u32;
    NEXT(2);
}
HANDLER(GLOBAL_SET_v)
{
    memcpy(inst->globals[OPD(1)]->value, &SLOT(0), 16);
    NEXT(2);
}
HANDLER(REF_FUNC)
{
    r0 = (uintptr_t)inst->funcs[OPD(1)];
    NEXT(2);
}
HANDLER(REF_FUNC_D)
{
    r0 = (uintptr_t)inst->funcs[OPD(1)];
    SLOT(0).u64 = r0;
    NEXT(2);
}
HANDLER(REF_AS_NON_NULL)
{
    if (UNLIKELY(!SLOT(1).ref)) TRAP(RT_TRAP_NULL_REFERENCE);
    NEXT(2);
}

/* ---- tables ---- */

HANDLER(TABLE_GET)
{
    const struct rt_table *table = inst->tables[OPD(2)];
    uint64_t index = SLOT(1).u64;
    if (UNLIKELY(index >= table->size)) TRAP(RT_TRAP_TABLE_BOUNDS);
    r0 = table->elems[index].u64;
    NEXT(3);
}
HANDLER(TABLE_GET_D)
{
    const struct rt_table *table = inst->tables[OPD(2)];
    uint64_t index = SLOT(1).u64;
    if (UNLIKELY(index >= table->size)) TRAP(RT_TRAP_TABLE_BOUNDS);
    r0 = table->elems[index].u64;
    SLOT(0).u64 = r0;
    NEXT(3);
}
HANDLER(TABLE_SET)
{
    const struct rt_table *table = inst->tables[OPD(1)];
    const union rt_slot *args = &SLOT(0);
    if (UNLIKELY(args[0].u64 >= table->size)) TRAP(RT_TRAP_TABLE_BOUNDS);
    table->elems[args[0].u64] = args[1];
    NEXT(3);
}
HANDLER(TABLE_SIZE)
{
    SLOT(0).u64 = inst->tables[OPD(1)]->size;
    NEXT(3);
}
/* -1 in the width of the index type. */
static uint64_t grown(uint64_t old, bool is64) { return is64 ? old : (uint32_t)old; }
HANDLER(TABLE_GROW)
{
    struct rt_table *table = inst->tables[OPD(1)];
    union rt_slot *args = &SLOT(0);
    rt_table_grow(table, args[1].u64, args[0], &args[0].u64);
    args[0].u64 = grown(args[0].u64, table->type.is64);
    NEXT(3);
}
HANDLER(TABLE_FILL)
{
    const union rt_slot *args = &SLOT(0);
    TRAP_IF(rt_table_fill(inst->tables[OPD(1)], args[0].u64, args[1], args[2].u64));
    NEXT(3);
}
HANDLER(TABLE_COPY)
{
    const union rt_slot *args = &SLOT(0);
    TRAP_IF(rt_table_copy(inst->tables[OPD(1)], args[0].u64, inst->tables[OPD(2)], args[1].u64, args[2].u64));
    NEXT(3);
}
HANDLER(TABLE_INIT)
{
    const union rt_slot *args = &SLOT(0);
    TRAP_IF(
        rt_table_init(inst, inst->tables[OPD(2)], (uint32_t)OPD(1), args[0].u64, args[1].u32, args[2].u32));
    NEXT(3);
}
HANDLER(ELEM_DROP)
{
    rt_elem_drop(inst, (uint32_t)OPD(1));
    NEXT(3);
}

/* ---- wide arithmetic: low halves first ---- */

static inline unsigned __int128 wide_at(const union rt_slot *slots) {
    return (unsigned __int128)slots[1].u64 << 64 | slots[0].u64;
}
#define WIDE(ID, expression)                                                                                 \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        union rt_slot *args = &SLOT(0);                                                                      \
        unsigned __int128 result = (unsigned __int128)(expression);                                          \
        args[0].u64 = (uint64_t)result;                                                                      \
        args[1].u64 = (uint64_t)(result >> 64);                                                              \
        NEXT(2);                                                                                             \
    }
WIDE(I64_ADD128, wide_at(args) + wide_at(args + 2))
WIDE(I64_SUB128, wide_at(args) - wide_at(args + 2))
WIDE(I64_MUL_WIDE_S, (__int128)args[0].i64 *args[1].i64)
WIDE(I64_MUL_WIDE_U, (unsigned __int128)args[0].u64 *args[1].u64)

/* ---- memories ---- */

HANDLER(MEMORY_SIZE)
{
    const struct rt_memory *memory = inst->memories[OPD(1)];
    SLOT(0).u64 =
        atomic_load_explicit(&memory->size_bytes, memory_order_relaxed) >> memory->type.page_size_log2;
    NEXT(3);
}
HANDLER(MEMORY_GROW)
{
    struct rt_memory *memory = inst->memories[OPD(1)];
    union rt_slot *args = &SLOT(0);
    rt_memory_grow(memory, args[0].u64, &args[0].u64);
    args[0].u64 = grown(args[0].u64, memory->type.is64);
    NEXT(3);
}
HANDLER(MEMORY_FILL)
{
    const union rt_slot *args = &SLOT(0);
    TRAP_IF(rt_memory_fill(store, inst->memories[OPD(1)], args[0].u64, (uint8_t)args[1].u32, args[2].u64));
    NEXT(3);
}
HANDLER(MEMORY_COPY)
{
    const union rt_slot *args = &SLOT(0);
    TRAP_IF(rt_memory_copy(store, inst->memories[OPD(1)], args[0].u64, inst->memories[OPD(2)], args[1].u64,
                           args[2].u64));
    NEXT(3);
}
HANDLER(MEMORY_INIT)
{
    const union rt_slot *args = &SLOT(0);
    TRAP_IF(rt_memory_init(inst, inst->memories[OPD(2)], (uint32_t)OPD(1), args[0].u64, args[1].u32,
                           args[2].u32));
    NEXT(3);
}
HANDLER(DATA_DROP)
{
    rt_data_drop(inst, (uint32_t)OPD(1));
    NEXT(3);
}

/* ---- atomics: operands from slot 0 on, offset in word 2, memory in word 3 ---- */

/* The host address of an aligned access, or the trap. */
static enum rt_trap atomic_at(struct rt_instance *inst, const uint64_t *ip, uint64_t address, uint64_t size,
                              uint8_t **host) {
    struct rt_memory *memory = inst->memories[WORD(3)];
    uint64_t effective;
    if (__builtin_add_overflow(address, WORD(2), &effective)) return RT_TRAP_MEMORY_BOUNDS;
    if (effective % size) return RT_TRAP_UNALIGNED_ATOMIC;
    *host = rt_memory_at(memory, effective, size);
    return *host ? RT_TRAP_NONE : RT_TRAP_MEMORY_BOUNDS;
}
#define ATOMIC(ID, C, ...)                                                                                   \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        union rt_slot *args = &SLOT(0);                                                                      \
        uint8_t *host = NULL;                                                                                \
        TRAP_IF(atomic_at(inst, ip, args[0].u64, sizeof(C), &host));                                         \
        C *p = (C *)(void *)host;                                                                            \
        __VA_ARGS__;                                                                                         \
        NEXT(4);                                                                                             \
    }
#define ATOMIC_LOAD(ID, T, C)   ATOMIC(ID, C, args[0].u64 = __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define ATOMIC_STORE(ID, T, C)  ATOMIC(ID, C, __atomic_store_n(p, (C)args[1].u64, __ATOMIC_SEQ_CST))
#define ATOMIC_RMW(ID, T, C, F) ATOMIC(ID, C, args[0].u64 = F(p, (C)args[1].u64, __ATOMIC_SEQ_CST))
/* An expected value wider than what lies in memory never matches; what is read is the result either way. */
#define ATOMIC_CMPXCHG(ID, T, C)                                                                             \
    ATOMIC(ID, C, C expected = (C)args[1].u64; if (expected == AT_##T(args[1])) __atomic_compare_exchange_n( \
               p, &expected, (C)args[2].u64, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                     \
           else expected = __atomic_load_n(p, __ATOMIC_SEQ_CST); args[0].u64 = expected)
#include "interp/ops.def"
HANDLER(ATOMIC_FENCE)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NEXT(1);
}
/* Waiting and notifying: the runtime checks the address. */
#define PARKING(ID, ...)                                                                                     \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        union rt_slot *args = &SLOT(0);                                                                      \
        struct rt_memory *memory = inst->memories[WORD(3)];                                                  \
        uint64_t at;                                                                                         \
        if (__builtin_add_overflow(args[0].u64, WORD(2), &at)) TRAP(RT_TRAP_MEMORY_BOUNDS);                  \
        TRAP_IF(__VA_ARGS__);                                                                                \
        args[0].u64 = args[0].u32;                                                                           \
        NEXT(4);                                                                                             \
    }
PARKING(MEMORY_ATOMIC_NOTIFY, rt_memory_notify(memory, at, args[1].u32, &args[0].u32))
PARKING(MEMORY_ATOMIC_WAIT32, rt_memory_wait(store, memory, at, 4, args[1].u32, args[2].i64, &args[0].u32))
PARKING(MEMORY_ATOMIC_WAIT64, rt_memory_wait(store, memory, at, 8, args[1].u64, args[2].i64, &args[0].u32))
