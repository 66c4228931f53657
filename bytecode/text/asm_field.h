/* bytecode/text/asm_field.h: one function a kind of module field. The cursor stands behind the keyword; `end`
 * is the field's closing parenthesis, which the caller expects. */
#ifndef ATOLL_BYTECODE_TEXT_ASM_FIELD_H
#define ATOLL_BYTECODE_TEXT_ASM_FIELD_H

#include "bytecode/text/asm.h"

void asm_import(struct assembler *a);
void asm_export(struct assembler *a);
void asm_func(struct assembler *a, uint32_t index, uint32_t end);
void asm_table(struct assembler *a, uint32_t index, uint32_t end);
void asm_memory(struct assembler *a, uint32_t index);
void asm_global(struct assembler *a, uint32_t index, uint32_t end);
void asm_tag(struct assembler *a, uint32_t index);
void asm_elem(struct assembler *a);
void asm_data(struct assembler *a);
void asm_start(struct assembler *a);

#endif
