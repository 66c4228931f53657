/* jit/internal.h: what the files of jit/ share. */
#ifndef ATOLL_JIT_INTERNAL_H
#define ATOLL_JIT_INTERNAL_H

#include "interp/interp.h"
#include "jit/x86.h"
#include "jit/ir.h"
#include "jit/jit.h"

/* Whether compiled code has the wasm instruction itself; others run by the interpreter's code (SLOW). */
bool jit_native(uint16_t op);
bool jit_native_simd(uint16_t op);
/* Whether the vector instruction has read its operands before it writes its result, given AVX. */
bool jit_simd_reads_first(uint16_t op);

/* What an atomic instruction does that both reads and writes; the rows of the opcode table stand in this order, seven
 * widths each. */
enum jit_atomic { JIT_ADD, JIT_SUB, JIT_AND, JIT_OR, JIT_XOR, JIT_XCHG, JIT_CMPXCHG };
#define JIT_ATOMIC_WIDTHS 7
static inline enum jit_atomic jit_atomic_of(uint16_t op) {
    return (enum jit_atomic)((op - BC_I32_ATOMIC_RMW_ADD) / JIT_ATOMIC_WIDTHS);
}

struct jit_cpu { /* what this machine's CPU has beyond SSE4.2 */
    bool avx, bmi1, bmi2, lzcnt;
    bool jumps_want_place; /* one that crosses or ends at a multiple of 32 bytes is slow */
};
const struct jit_cpu *jit_cpu(void);

/* Whether the module's instances may have a memory 0 without guard pages: accesses look at its size. */
bool jit_is_checked(const struct rt_module *module);

/* ---- slow.c: instructions run by the interpreter's code ---- */

struct jit_slow;
/* Lives as long as the module. `types` are enum ir_type of the operands. Returns its number; UINT32_MAX: out of
 * memory. */
uint32_t jit_slow_new(struct rt_module *module, uint32_t func, uint32_t at, uint32_t n_args,
                      const uint8_t *types);

/* What compiled code calls: runs the instruction on operands in slots, which its results replace. */
enum rt_trap jit_slow_run(struct rt_instance *instance, union rt_slot *slots, const struct jit_slow *slow);

#endif
