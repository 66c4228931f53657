/* interp/exec_control.c: handlers that move values, choose, branch, call and return. */
#include "interp/dispatch.h"
#include "interp/numeric.h"

/* ---- moves ---- */

HANDLER(MOV)
{
    SLOT(0).u64 = SLOT(1).u64;
    NEXT(2);
}
HANDLER(MOV2)
{
    SLOT(0).u64 = SLOT(1).u64;
    SLOT(2).u64 = SLOT(3).u64;
    NEXT(3);
}
HANDLER(MOV32)
{ /* f32: written as four bytes, so read as four bytes, or the store is not forwarded */
    SLOT(0).u32 = SLOT(1).u32;
    NEXT(2);
}
HANDLER(MOV128)
{
    memmove(&SLOT(0), &SLOT(1), 16); /* one slot up or down: they may overlap */
    NEXT(2);
}
HANDLER(MOV_RANGE)
{
    memmove(&SLOT(0), &SLOT(1), (size_t)(uint32_t)OPD(2) * sizeof *fp);
    NEXT(3);
}
HANDLER(SLOT_CONST)
{
    SLOT(0).u64 = WORD(2);
    NEXT(3);
}
#define ACC_MOVES(acc, field)                                                                                \
    HANDLER(ST_##acc)                                                                                        \
    {                                                                                                        \
        SLOT(0).field = acc;                                                                                 \
        NEXT(2);                                                                                             \
    }                                                                                                        \
    HANDLER(LD_##acc)                                                                                        \
    {                                                                                                        \
        acc = SLOT(1).field;                                                                                 \
        NEXT(2);                                                                                             \
    }
ACC_MOVES(r0, u64)
ACC_MOVES(d0, f64)
ACC_MOVES(s0, f32)

/* ---- choice ---- */

/* The condition is read before r0 is written. */
#define SELECT(name, words, condition, first)                                                                \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint64_t a = SLOT(first).u64, b = SLOT((first) + 1).u64;                                             \
        r0 = (condition) ? a : b;                                                                            \
        NEXT(words);                                                                                         \
    }                                                                                                        \
    HANDLER(name##_D)                                                                                        \
    {                                                                                                        \
        uint64_t a = SLOT(first).u64, b = SLOT((first) + 1).u64;                                             \
        r0 = (condition) ? a : b;                                                                            \
        SLOT(0).u64 = r0;                                                                                    \
        NEXT(words);                                                                                         \
    }
SELECT(SELECT_S, 3, SLOT(1).u32, 2)
SELECT(SELECT_A, 3, (uint32_t)r0, 2)
HANDLER(SELECT32_S)
{
    SLOT(0).u32 = SLOT(1).u32 ? SLOT(2).u32 : SLOT(3).u32;
    NEXT(3);
}
HANDLER(SELECT128_S)
{
    memcpy(&SLOT(0), SLOT(1).u32 ? &SLOT(2) : &SLOT(3), 16);
    NEXT(3);
}

/* ---- branches ---- */

#define BRANCH(name, words, poll, condition)                                                                 \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        if (condition) {                                                                                     \
            poll;                                                                                            \
            JUMP(0);                                                                                         \
        }                                                                                                    \
        NEXT(words);                                                                                         \
    }
#define BOTH(suffix, words, condition)                                                                       \
    BRANCH(BR_##suffix, words, (void)0, condition)                                                           \
    BRANCH(LOOP_##suffix, words, POLL_LOOP(), condition)
#define CONST32_i ((uint32_t)OPD(2))
#define CONST32_I ((uint64_t)(int64_t)OPD(2))
#define CMP(ID, id, T, NEGATED, SWAPPED)                                                                     \
    BOTH(ID##_SS, 3, op_##id(AT_##T(SLOT(1)), AT_##T(SLOT(2))))                                              \
    BOTH(ID##_AS, 2, op_##id(ACC_##T, AT_##T(SLOT(1))))                                                      \
    BOTH(ID##_SI, 3, op_##id(AT_##T(SLOT(1)), CONST_##T))                                                    \
    BOTH(ID##_AI, 3, op_##id(ACC_##T, CONST_##T))                                                            \
    SELECT(SELECT_##ID##_SS, 4, op_##id(AT_##T(SLOT(1)), AT_##T(SLOT(2))), 3)                                \
    SELECT(SELECT_##ID##_AS, 4, op_##id(ACC_##T, AT_##T(SLOT(1))), 3)                                        \
    SELECT(SELECT_##ID##_SI, 4, op_##id(AT_##T(SLOT(1)), CONST_##T), 3)                                      \
    SELECT(SELECT_##ID##_AI, 4, op_##id(ACC_##T, CONST_##T), 3)
#include "interp/ops.def"
#define TEST(suffix, compare)                                                                                \
    BOTH(suffix##_SS, 3, (SLOT(1).u32 & SLOT(2).u32) compare)                                                \
    BOTH(suffix##_AS, 2, (ACC_i & SLOT(1).u32) compare)                                                      \
    BOTH(suffix##_SI, 3, (SLOT(1).u32 & CONST_i) compare)                                                    \
    BOTH(suffix##_AI, 3, (ACC_i & CONST_i) compare)
TEST(TEST, != 0)
TEST(TESTZ, == 0)
BOTH(NZ_S, 2, SLOT(1).u32)
BOTH(NZ_A, 2, ACC_i)
BOTH(Z_S, 2, !SLOT(1).u32)
BOTH(Z_A, 2, !ACC_i)
BOTH(NULL, 2, !SLOT(1).ref)
BOTH(NONNULL, 2, SLOT(1).ref)
HANDLER(BR)
{ JUMP(0); }
HANDLER(LOOP)
{
    POLL_LOOP();
    JUMP(0);
}
#define BR_TABLE(name, index_value)                                                                          \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint32_t index = (index_value), n = (uint32_t)OPD(0);                                                \
        POLL();                                                                                              \
        JUMP(2 + (index < n ? index : n));                                                                   \
    }
BR_TABLE(BR_TABLE_S, SLOT(1).u32)
BR_TABLE(BR_TABLE_A, (uint32_t)r0)

/* ---- calls ---- */

/* Makes the callee's header and enters it. The callee is in r0, which is dead across calls: one register less
 * to save. */
#define CALLEE ((struct rt_func *)(uintptr_t)r0)
#define PUSH_FRAME(back)                                                                                     \
    do {                                                                                                     \
        const uint64_t *return_to = (back);                                                                  \
        union rt_slot *caller = fp;                                                                          \
        fp += OPD(0);                                                                                        \
        fp[-3].ref = (void *)(uintptr_t)return_to;                                                           \
        fp[-2].ref = caller;                                                                                 \
        fp[-1].u64 = r0;                                                                                     \
        ip = __atomic_load_n((const uint64_t *const *)&CALLEE->code, __ATOMIC_ACQUIRE);                      \
        DISPATCH();                                                                                          \
    } while (0)
#define ENTER_INSTANCE(callee)                                                                               \
    do {                                                                                                     \
        inst = (callee)->instance;                                                                           \
        mem = inst->memory0_base;                                                                            \
    } while (0)
/* A function that may belong to another instance or to the host; the instruction has `words` words, RELOAD
 * included. */
#define INVOKE(words)                                                                                        \
    do {                                                                                                     \
        if (UNLIKELY(CALLEE->instance != inst)) GOTO_HANDLER(CALL_FAR_##words);                              \
        PUSH_FRAME(ip + (words));                                                                            \
    } while (0)
#define CALL_FAR(words)                                                                                      \
    HANDLER(CALL_FAR_##words)                                                                                \
    {                                                                                                        \
        if (CALLEE->host) GOTO_HANDLER(HOST_CALL);                                                           \
        ENTER_INSTANCE(CALLEE);                                                                              \
        PUSH_FRAME(ip + (words)-1);                                                                          \
    }
CALL_FAR(3)
CALL_FAR(5)

HANDLER(CALL)
{
    r0 = (uintptr_t)&inst->own_funcs[OPD(1)];
    PUSH_FRAME(ip + 3);
}
HANDLER(CALL_IMPORT)
{
    r0 = (uintptr_t)inst->funcs[OPD(1)];
    INVOKE(3);
}
/* r0 = the index, then the function */
#define FIND_INDIRECT(type_word, table_word)                                                                 \
    do {                                                                                                     \
        const struct rt_table *table = inst->tables[WORD(table_word)];                                       \
        if (UNLIKELY(r0 >= table->size)) TRAP(RT_TRAP_UNDEFINED_ELEMENT);                                    \
        r0 = table->elems[r0].u64;                                                                           \
        if (UNLIKELY(!r0)) TRAP(RT_TRAP_UNINITIALIZED_ELEMENT);                                              \
    } while (0)
#define SAME_TYPE(type_word) (LIKELY((uintptr_t)CALLEE->type == WORD(type_word)))
#define INVOKE_INDIRECT()                                                                                    \
    do {                                                                                                     \
        FIND_INDIRECT(2, 3);                                                                                 \
        if (!SAME_TYPE(2)) GOTO_HANDLER(CALL_SUBTYPE);                                                       \
        INVOKE(5);                                                                                           \
    } while (0)
HANDLER(CALL_INDIRECT_S)
{
    r0 = SLOT(1).u64;
    INVOKE_INDIRECT();
}
HANDLER(CALL_INDIRECT_A)
{ INVOKE_INDIRECT(); }
HANDLER(CALL_SUBTYPE)
{
    if (!rt_type_matches(CALLEE->type, (const struct rt_type *)(uintptr_t)WORD(2)))
        TRAP(RT_TRAP_INDIRECT_TYPE);
    INVOKE(5);
}
HANDLER(CALL_REF)
{
    r0 = SLOT(1).u64;
    if (UNLIKELY(!r0)) TRAP(RT_TRAP_NULL_FUNCTION);
    INVOKE(3);
}

/* ---- host functions ---- */

/* r0 = the rt_func. The call's length is in its instruction: RELOAD stands last. */
static const uint64_t *behind_call(const uint64_t *ip) {
    const uint64_t reload = (uint64_t)(uintptr_t)interp_do_RELOAD;
    for (ip += 2; *ip != reload;) ip++;
    return ip + 1;
}
HANDLER(HOST_CALL)
{
    struct rt_func *callee = (struct rt_func *)(uintptr_t)r0;
    const struct rt_type *type = callee->type;
    uint32_t window = interp_window(type->param_slots, type->result_slots);
    union rt_slot *args = fp + OPD(0) - INTERP_HEADER_SLOTS - window;
    struct interp_run *run = interp_run_of(store);
    run->ip = ip;
    run->fp = fp;
    store->stack_top = args + window;
    store->n_frames = 0;
    store->scan_top = store->stack_top;
    enum rt_trap trap = callee->host(store, inst, callee->context, args);
    store->scan_top = NULL;
    if (UNLIKELY(trap != RT_TRAP_NONE)) {
        if (trap == RT_TRAP_UNCAUGHT_EXCEPTION && store->thrown_tag) GOTO_HANDLER(UNWIND);
        TRAP(trap);
    }
    store->n_frames = 0; /* of a nested call's trap that the host got over */
    interp_tidy(type->results, type->n_results, args);
    r0 = args[0].u64;
    d0 = args[0].f64;
    s0 = args[0].f32;
    ip = behind_call(ip);
    DISPATCH();
}

/* ---- entry and return ---- */

HANDLER(RELOAD)
{
    if (fp) { /* NULL: back to the host */
        const struct rt_func *self = fp[-1].ref;
        ENTER_INSTANCE(self);
    }
    NEXT(1);
}
#define CHECK_ENTRY()                                                                                        \
    do {                                                                                                     \
        if (UNLIKELY(fp + (uint32_t)OPD(0) > store->stack_end)) TRAP(RT_TRAP_STACK_EXHAUSTED);               \
        if (UNLIKELY(atomic_load_explicit(&store->attention, memory_order_relaxed)))                         \
            GOTO_HANDLER(ATTEND_ENTRY);                                                                      \
    } while (0)
HANDLER(ENTER_0)
{
    CHECK_ENTRY();
    NEXT(2);
}
HANDLER(ENTER)
{
    CHECK_ENTRY();
    union rt_slot *p = fp;
    const union rt_slot *end = fp + 2 * (size_t)(uint32_t)OPD(1);
    do { /* in pairs; the frame has room for one too many */
        _mm_storeu_si128((__m128i *)(void *)p, _mm_setzero_si128());
        p += 2;
        __asm__("" : "+r"(p)); /* not a memset: that would be a call */
    } while (p < end);
    NEXT(2);
}
#define RETURN()                                                                                             \
    do {                                                                                                     \
        ip = fp[-3].ref;                                                                                     \
        fp = fp[-2].ref;                                                                                     \
        DISPATCH();                                                                                          \
    } while (0)
HANDLER(RET)
{ RETURN(); }
#define RET_ACC(acc, field)                                                                                  \
    HANDLER(RET_##acc##_S)                                                                                   \
    {                                                                                                        \
        acc = SLOT(1).field;                                                                                 \
        SLOT(0).field = acc;                                                                                 \
        RETURN();                                                                                            \
    }                                                                                                        \
    HANDLER(RET_##acc##_A)                                                                                   \
    {                                                                                                        \
        SLOT(0).field = acc;                                                                                 \
        RETURN();                                                                                            \
    }
RET_ACC(r0, u64)
RET_ACC(d0, f64)
RET_ACC(s0, f32)
HANDLER(RET_I)
{
    r0 = WORD(2);
    SLOT(0).u64 = r0;
    RETURN();
}

/* ---- tail calls ---- */

/* operands: first argument, -, own P, callee's P, callee's parameter slots. Arguments move down to where our
 * own parameters began, then the callee runs in our place; it returns to our caller. A caller in another
 * instance is reached through the RELOAD in front of its return address. */
#define TAIL()                                                                                               \
    do {                                                                                                     \
        if (UNLIKELY(CALLEE->instance != inst)) GOTO_HANDLER(TAIL_FAR);                                      \
        GOTO_HANDLER(TAIL_NEAR);                                                                             \
    } while (0)
HANDLER(TAIL_NEAR)
{
    struct rt_func *callee = (struct rt_func *)(uintptr_t)r0;
    void *back = fp[-3].ref, *caller = fp[-2].ref;
    const union rt_slot *from = &SLOT(0);
    union rt_slot *base = fp - INTERP_HEADER_SLOTS - OPD(2);
    uint32_t n = (uint32_t)OPD(4);
    fp = base + OPD(3) + INTERP_HEADER_SLOTS;
    for (uint32_t i = 0; i < n; i++) {
        base[i] = from[i];
        __asm__("" : "+r"(from)); /* not a memmove: that would be a call */
    }
    fp[-3].ref = back;
    fp[-2].ref = caller;
    fp[-1].ref = callee;
    ip = __atomic_load_n((const uint64_t *const *)&callee->code, __ATOMIC_ACQUIRE);
    DISPATCH();
}
HANDLER(TAIL_FAR)
{
    struct rt_func *callee = (struct rt_func *)(uintptr_t)r0;
    if (callee->host) GOTO_HANDLER(TAIL_HOST);
    const uint64_t *back = fp[-3].ref;
    if (back[0] != (uint64_t)(uintptr_t)interp_do_RELOAD) fp[-3].ref = (void *)(uintptr_t)(back - 1);
    ENTER_INSTANCE(callee);
    GOTO_HANDLER(TAIL_NEAR);
}
/* The host runs on top of our frame, which then returns. */
HANDLER(TAIL_HOST)
{
    struct rt_func *callee = (struct rt_func *)(uintptr_t)r0;
    struct interp_run *run = interp_run_of(store);
    union rt_slot *args = &SLOT(0);
    run->ip = ip;
    run->fp = fp;
    store->stack_top = args + interp_window(callee->type->param_slots, callee->type->result_slots);
    store->n_frames = 0;
    enum rt_trap trap = callee->host(store, inst, callee->context, args);
    if (UNLIKELY(trap != RT_TRAP_NONE)) TRAP(trap);
    store->n_frames = 0;
    interp_tidy(callee->type->results, callee->type->n_results, args);
    union rt_slot *base = fp - INTERP_HEADER_SLOTS - OPD(2);
    const uint64_t *back = fp[-3].ref;
    union rt_slot *caller = fp[-2].ref;
    memmove(base, args, callee->type->result_slots * sizeof *base);
    r0 = base[0].u64;
    d0 = base[0].f64;
    s0 = base[0].f32;
    ip = back;
    fp = caller;
    DISPATCH();
}
HANDLER(TAIL_CALL)
{
    r0 = (uintptr_t)inst->funcs[OPD(1)];
    TAIL();
}
HANDLER(TAIL_CALL_REF)
{
    r0 = SLOT(1).u64;
    if (UNLIKELY(!r0)) TRAP(RT_TRAP_NULL_FUNCTION);
    TAIL();
}
HANDLER(TAIL_CALL_INDIRECT)
{
    r0 = SLOT(1).u64;
    FIND_INDIRECT(4, 5);
    if (!SAME_TYPE(4) && !rt_type_matches(CALLEE->type, (const struct rt_type *)(uintptr_t)WORD(4)))
        TRAP(RT_TRAP_INDIRECT_TYPE);
    TAIL();
}

/* ---- leaving ---- */

HANDLER(FUEL)
{
    store->fuel -= OPD(0);
    if (UNLIKELY(store->fuel < 0)) GOTO_HANDLER(REFUEL);
    NEXT(2);
}
/* What the store has is used up; siblings may have put more aside. */
HANDLER(REFUEL)
{
    if (!rt_fuel_take(store)) TRAP(RT_TRAP_OUT_OF_FUEL);
    NEXT(2);
}
HANDLER(TRAP)
{ TRAP(OPD(0)); }
HANDLER(PROBE)
{
    struct rt_observer *observer = store->observer;
    if (observer && UNLIKELY(!observer->quiet)) GOTO_HANDLER(PROBE_ASK);
    if (observer) observer->quiet--;
    NEXT(2);
}
HANDLER(PROBE_ASK)
{
    struct interp_run *run = interp_run_of(store);
    run->ip = ip;
    run->fp = fp;
    store->stack_top = interp_frame_end(fp);
    store->scan_top = store->stack_top;
    enum rt_trap trap = interp_ask_observer(store, inst, (uint32_t)OPD(0));
    store->scan_top = NULL;
    TRAP_IF(trap);
    NEXT(2);
}
HANDLER(INTERRUPTED)
{
    bool timeout = atomic_load_explicit(&store->interrupt, memory_order_relaxed) == RT_INTERRUPT_TIMEOUT;
    TRAP(timeout ? RT_TRAP_TIMEOUT : RT_TRAP_INTERRUPTED);
}
