/* cli/code_dump.h: --dump: the stages of functions as they are compiled, to standard error or to files. */
#ifndef ATOLL_CLI_CODE_DUMP_H
#define ATOLL_CLI_CODE_DUMP_H

#include "cli/cli.h"
#include "runtime/runtime.h"

#define CODE_DUMP_FLAGS(ID)                                                                                  \
    {ID##_DUMP, "dump", 0, "STAGES",                                                                         \
     "show functions as they are compiled: ir, number, sweep, hoist, split, select, alloc, code, all; a,b"}, \
        {ID##_DUMP_FUNCTION, "dump-function", 0, "FUNCS",                                                    \
         "only these: numbers, ranges 3-7, names, patterns like \"sort*\"; a,b"},                            \
    {                                                                                                        \
        ID##_DUMP_TO, "dump-to", 0, "DIR", "a file a function in this directory, not standard error"         \
    }

struct code_dump {
    struct rt_code_viewer viewer; /* stages 0: nothing is dumped */
    const char *functions;        /* as the flag has them; NULL: all */
    const char *path;             /* of the directory, or NULL */
    int folder;                   /* it, or -1 */
    const struct rt_module *module;
    uint8_t *chosen;  /* by function of the module, not 0: wanted */
    atomic_int error; /* errno of the first write that failed */
};
void code_dump_init(struct code_dump *d);
void code_dump_fini(struct code_dump *d);
/* Takes a flag's value; false after a message. */
bool code_dump_stages(struct code_dump *d, const char *verb, const char *stages);
/* For rt_config.viewer; NULL: nothing is dumped. */
const struct rt_code_viewer *code_dump_viewer(struct code_dump *d);
/* The functions of this module, which is not compiled yet, are meant. fails E_USAGE (no such function, no directory),
 * E_NOMEM */
enum atoll_status code_dump_choose(struct code_dump *d, struct rt_module *module, struct atoll_error *err);
/* CLI_OK, or CLI_INTERNAL after a message: not everything could be written. */
int code_dump_end(struct code_dump *d);

#endif
