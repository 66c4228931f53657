/* interp/dispatch.h: how handlers are written and how one leads to the next.
 *
 *   code   -> [ handler address | operands, two 32-bit ones a word | handler address | ... ]
 *   state      ip   fp   mem            inst   store  r0                  d0    s0
 *   register   rdi  rsi  rdx            rcx    r8     r9                  xmm0  xmm1
 *                        memory 0's base              integer accumulator f64   f32 accumulator
 *
 * A handler reads its operands, computes, and tail-calls the handler whose address stands behind it, so the
 * state stays in the argument registers. Handlers of hot paths call nothing, since a call would save all
 * eight. The address of a handler's local never leaves it: the local might be looked at later, so the
 * handler's frame would stay on the native stack, one for each execution; results that come through a pointer
 * go to slots. Where the compiler cannot promise tail calls (ATOLL_INTERP_LOOP) a handler parks the state and
 * returns to a loop; the bodies are the same. Leaving the run = returning a trap, RT_TRAP_NONE at the end of
 * the function the host called. */
#ifndef ATOLL_INTERP_DISPATCH_H
#define ATOLL_INTERP_DISPATCH_H

#include <string.h>
#include "interp/internal.h"

#if !defined(ATOLL_INTERP_LOOP) && !defined(__clang__) &&                                                    \
    (!defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define ATOLL_INTERP_LOOP 1
#endif

#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)
#define STATE_ARGS    ip, fp, mem, inst, store, r0, d0, s0
#define HANDLER(name) INTERP_SECTION enum rt_trap interp_do_##name(INTERP_STATE)

#ifdef ATOLL_INTERP_LOOP
#define ENTER_HANDLER(function) return interp_park(ip, fp, mem, inst, store, r0, d0, s0, function)
#elif defined(__clang__)
#define ENTER_HANDLER(function) __attribute__((musttail)) return (function)(STATE_ARGS)
#else
#define ENTER_HANDLER(function) return (function)(STATE_ARGS)
#endif

#define DISPATCH() ENTER_HANDLER((interp_handler *)(uintptr_t)ip[0])
#define NEXT(n_words)                                                                                        \
    do {                                                                                                     \
        ip += (n_words);                                                                                     \
        DISPATCH();                                                                                          \
    } while (0)
#define GOTO_HANDLER(name) ENTER_HANDLER(interp_do_##name)
/* The rest of a handler in a function of its own, with `value` in r0. */
#define SLOW_PATH(name, value)                                                                               \
    do {                                                                                                     \
        r0 = (uint64_t)(value);                                                                              \
        GOTO_HANDLER(name);                                                                                  \
    } while (0)
#define TRAP(trap) SLOW_PATH(TRAP_R0, trap)
#define TRAP_IF(trap)                                                                                        \
    do {                                                                                                     \
        enum rt_trap trap_ = (trap);                                                                         \
        if (UNLIKELY(trap_ != RT_TRAP_NONE)) TRAP(trap_);                                                    \
    } while (0)

/* Operand n of 32 bits, counted behind the handler's address; word n of 64 bits, counted from it. */
#define OPD(n)  (((const int32_t *)ip)[2 + (n)])
#define WORD(n) (ip[n])
#define SLOT(n) (fp[OPD(n)])

/* A backward branch may be stopped: everything that loops passes a poll here or in ENTER. The first is for those
 * whose operand 0 is the distance to the loop's head, where hot loops go on in machine code. */
#define POLL_LOOP()                                                                                          \
    do {                                                                                                     \
        if (UNLIKELY(atomic_load_explicit(&store->attention, memory_order_relaxed)))                         \
            GOTO_HANDLER(ATTEND_LOOP);                                                                       \
    } while (0)
#define POLL()                                                                                               \
    do {                                                                                                     \
        if (UNLIKELY(atomic_load_explicit(&store->interrupt, memory_order_relaxed)))                         \
            GOTO_HANDLER(INTERRUPTED);                                                                       \
    } while (0)
#define JUMP(n) NEXT((ptrdiff_t)OPD(n))

/* Values by class: C type; the value in a slot, in the accumulator, as the instruction's constant. */
#define TYPE_i       uint32_t
#define TYPE_I       uint64_t
#define TYPE_f       float
#define TYPE_F       double
#define AT_i(slot)   ((slot).u32)
#define AT_I(slot)   ((slot).u64)
#define AT_f(slot)   ((slot).f32)
#define AT_F(slot)   ((slot).f64)
#define ACC_i        ((uint32_t)r0)
#define ACC_I        r0
#define ACC_f        s0
#define ACC_F        d0
#define CONST_i      ((uint32_t)OPD(2))
#define CONST_I      ((uint64_t)(int64_t)OPD(2))
#define CONST_f      (((const union rt_slot *)ip)[2].f32)
#define CONST_F      (((const union rt_slot *)ip)[2].f64)
#define SET_ACC_i(x) (r0 = (uint32_t)(x))
#define SET_ACC_I(x) (r0 = (uint64_t)(x))
#define SET_ACC_f(x) (s0 = (x))
#define SET_ACC_F(x) (d0 = (x))
/* The accumulator also to operand 0, the instruction's destination. */
#define KEEP_i() (SLOT(0).u64 = r0)
#define KEEP_I() (SLOT(0).u64 = r0)
#define KEEP_f() (SLOT(0).f32 = s0)
#define KEEP_F() (SLOT(0).f64 = d0)

#endif
