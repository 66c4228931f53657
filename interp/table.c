/* interp/table.c: the handlers by number. */
#include "interp/internal.h"

interp_handler *const interp_handlers[H_COUNT] = {
#define H(name, words) [H_##name] = interp_do_##name,
#include "interp/handlers.def"
#undef H
};

const struct interp_op_info interp_op_infos[H_COUNT] = {
#define H(name, words)  [H_##name] = {#name, words, false},
#define HV(name, words) [H_##name] = {#name, words, true},
#include "interp/handlers.def"
#undef H
};
