/* cli/perf.h: names of machine code for others: --perf and --native-gdb of `atoll run` and `atoll boot`. Both belong to
 * the process. */
#ifndef ATOLL_CLI_PERF_H
#define ATOLL_CLI_PERF_H

#include "runtime/runtime.h"
#include "sysvm/cpu/engine.h"

bool perf_open(const char **why); /* the map file of this process */
void perf_close(void);
void native_gdb_open(void);
void native_gdb_close(void); /* when the code is going */

/* rt_config.code_placed */
void perf_code_placed(const struct rt_placed_code *codes, size_t n);
/* The same of a machine. A debugger hears of a processor's code when there are some hundred pieces more. */
struct vm_code_listener perf_guest_listener(void);

/* native_gdb.c: a debugger of this process hears of functions, all of one owner, by one file. The strings are copied.
 * Any thread. Out of memory: it does not. */
struct native_name {
    const void *code;
    size_t n_bytes;
    const char *text;
    const uint8_t *unwind; /* as of struct rt_placed_code; NULL: nothing is known of its frame */
    size_t unwind_bytes;
};
void native_gdb_tell(unsigned owner, const struct native_name *names, size_t n);
void native_gdb_forget(unsigned owner); /* all that was told of it */
bool native_gdb_is_open(void);

#endif
