/* bytecode/opcodes.c: the opcode table as data (bytecode/opcodes.def explains its columns). */
#include "bytecode/bytecode.h"

#define SPECIAL NULL
const struct bc_op_info bc_op_infos[BC_OP_COUNT] = {
#define OP(id, prefix, code, text, immediates, signature, access, feature)                                   \
    [BC_##id] = {text, signature, prefix, code, BC_IMM_##immediates, access, BC_FEATURE_##feature},
#include "bytecode/opcodes.def"
#undef OP
};
