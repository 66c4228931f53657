/* cli/compiled.c: what was compiled of a program: --stats. */
#include <inttypes.h>
#include "cli/run.h"
#include "interp/interp.h"
#include "jit/jit.h"

void compiled_stats(const struct rt_module *module, bool was_valid) {
    struct jit_stats stats;
    jit_module_stats(module, &stats);
    if (was_valid) cli_message("functions were validated before");
    if (module->engine->config.tier == &interp_tier) {
        cli_message("nothing is compiled: there is no memory for code");
        return;
    }
    if (stats.n_restored) cli_message("%" PRIu32 " functions were compiled before", stats.n_restored);
    cli_message("compiled %" PRIu32 " functions and %" PRIu32 " running loops: %" PRIu64
                " bytes of code and %" PRIu64 " of tables, functions of %" PRIu64 " bytes, in %.1f ms",
                stats.n_compiled - stats.n_restored, stats.n_loops, stats.code_bytes, stats.table_bytes,
                stats.wasm_bytes, stats.seconds * 1e3);
    cli_message("%" PRIu32 " calls were inlined", stats.n_inlined);
    for (uint32_t i = module->bc->n_imported_funcs; i < module->bc->n_funcs; i++)
        if (jit_declined(module, i))
            cli_message("function %" PRIu32 " is interpreted: %s", i, jit_declined(module, i));
}
