/* jit/dump.h: the stages of a function's way to machine code as text, for rt_config.viewer.
 *
 *   dump.c        who looks, and at what; the IR's stages (ir_show)
 *   dump_code.c   machine code beside the wasm instructions it came from */
#ifndef ATOLL_JIT_DUMP_H
#define ATOLL_JIT_DUMP_H

#include "jit/emit.h"

/* f->dump becomes `text` when somebody looks at the function. */
void jit_dump_begin(struct ir_func *f, struct bc_buf *text);
/* Shows what there is, and why it is not more: `declined`, or NULL. */
void jit_dump_end(struct ir_func *f, const char *declined, bool shown);
/* The heading of a stage; false: it is not wanted. */
bool jit_dump_stage(const struct ir_func *f, enum jit_stage stage);
/* The finished code, before it gets its place. */
void jit_dump_code(struct emit *e);

#endif
