/* bytecode/encode.h: types and instructions to the binary format, in shortest form. For the assembler and the
 * writer. Source: core spec, "Binary Format". */
#ifndef ATOLL_BYTECODE_ENCODE_H
#define ATOLL_BYTECODE_ENCODE_H

#include "bytecode/internal.h"

/* Text names and codes of abstract heap types, by enum bc_heap_kind. */
#define BC_N_HEAPS 12
struct bc_heap_info {
    const char *heap, *nullable;
    uint8_t code;
};
extern const struct bc_heap_info bc_heap_infos[BC_N_HEAPS];

void bc_put_heaptype(struct bc_buf *out, uint32_t heap);
void bc_put_valtype(struct bc_buf *out, bc_valtype type); /* storage types too */
void bc_put_limits(struct bc_buf *out, const struct bc_limits *limits, bool is_memory);
void bc_put_name(struct bc_buf *out, struct bc_name name);
/* One type of a group, without the group's head. */
void bc_put_type(struct bc_buf *out, const struct bc_type *type);
void bc_put_op(struct bc_buf *out, enum bc_op op);
/* The instruction as it was decoded from m, immediates and all. */
void bc_put_instr(struct bc_buf *out, const struct bc_module *m, const struct bc_instr *in);

#endif
