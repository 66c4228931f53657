/* sysvm/cpu/soft/vector.h: x87, MMX, SSE, AVX and what else works on their registers: guest and host are the same
 * instruction set, so most of it runs as it is on the host's registers.
 *
 *   insn -> native_form.c   its form: same bytes, registers and address replaced by fixed ones
 *        -> native_thunk.c  the form as code: loads those registers from a frame, runs it, stores them back
 *        -> native.c        checks, operands to and from the frame, memory, exceptions of MXCSR
 *        -> native_x87.c    the same for what works on the x87 stack
 * What moves the registers themselves (fxsave, xsave, fldenv ...) stands in fp_state.c and xsave.c, accesses to memory
 * by element (gathers, masked moves) in vector_memory.c. */
#ifndef ATOLL_SYSVM_SOFT_VECTOR_H
#define ATOLL_SYSVM_SOFT_VECTOR_H

#include "sysvm/cpu/soft/insn.h"

struct soft_natives;

/* The forms of an engine, shared by its processors. owns *out; fails E_NOMEM */
enum atoll_status soft_natives_new(const struct atoll_alloc *alloc, struct soft_natives **out);
void soft_natives_free(struct soft_natives *natives); /* NULL is allowed */

/* Runs the form of the instruction: insn->native, or what soft_native_prepare finds. */
soft_handler soft_native;
/* Once an instruction is decoded: sets insn->native where insn->run is soft_native, so that running it need not look
 * for its form; or insn->run to soft_undefined where this host has no such instruction. */
void soft_native_prepare(struct soft_cpu *cpu, struct soft_insn *insn);

/* cpu->fp as after power-up (INIT leaves it alone): FCW 0x40, all registers zero. */
void soft_fp_reset(struct soft_cpu *cpu);
/* The registers as an XSAVE area. False: MXCSR has bits that are reserved, and nothing has changed. */
void soft_fp_get(const struct soft_cpu *cpu, struct vm_fp_state *out);
bool soft_fp_set(struct soft_cpu *cpu, const struct vm_fp_state *state);

/* Bytes of an XSAVE area with the components of `mask`, in the standard format; 0 where there are others than x87, SSE
 * and AVX. For CPUID leaf 0xD. */
uint32_t soft_xsave_bytes(uint64_t mask);

#endif
