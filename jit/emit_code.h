/* jit/emit_code.h: more of what emit*.c share: the frame from outside emit.c. */
#ifndef ATOLL_JIT_EMIT_CODE_H
#define ATOLL_JIT_EMIT_CODE_H

#include "jit/code.h"
#include "jit/emit.h"

void emit_function(struct emit *e);
void emit_leave_frame(struct emit *e);
uint32_t emit_caller_area(const struct emit *e);
uint32_t emit_slot_offset(const struct emit *e, uint32_t v);
void emit_trunc_stub(struct emit *e, const struct stub *s);
/* Stubs of emit_call.c and emit_float.c. */
void emit_other_stub(struct emit *e, const struct stub *s);

#endif
