/* cli/compiled.c: what was compiled of a program: --stats and --dump. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cli/run.h"
#include "jit/jit.h"

void compiled_stats(const struct rt_module *module) {
    struct jit_stats stats;
    jit_module_stats(module, &stats);
    if (stats.n_restored) cli_message("%" PRIu32 " functions were compiled before", stats.n_restored);
    cli_message("compiled %" PRIu32 " functions and %" PRIu32 " running loops: %" PRIu64
                " bytes of code, functions of %" PRIu64 " bytes, in %.1f ms",
                stats.n_compiled - stats.n_restored, stats.n_loops, stats.code_bytes, stats.wasm_bytes,
                stats.seconds * 1e3);
    for (uint32_t i = module->bc->n_imported_funcs; i < module->bc->n_funcs; i++)
        if (jit_declined(module, i))
            cli_message("function %" PRIu32 " is interpreted: %s", i, jit_declined(module, i));
}

/* A function's index, by number or by the name of an export or of the name section. */
static bool find_function(struct rt_module *module, const char *word, uint32_t *out) {
    const struct bc_module *bc = module->bc;
    uint64_t number;
    if (cli_parse_count(word, &number)) {
        *out = (uint32_t)number;
        return number >= bc->n_imported_funcs && number < bc->n_funcs;
    }
    bc_names_load(module->bc);
    for (uint32_t i = 0; i < bc->n_exports; i++) {
        const struct bc_export *e = bc->exports + i;
        if (e->kind != BC_EXTERN_FUNC || e->name.size != strlen(word) ||
            memcmp(e->name.bytes, word, e->name.size))
            continue;
        *out = e->index;
        return e->index >= bc->n_imported_funcs;
    }
    for (uint32_t i = bc->n_imported_funcs; i < bc->n_funcs; i++) {
        struct bc_name name = bc_name_of(bc, BC_NAMES_FUNC, i);
        if (name.size != strlen(word) || memcmp(name.bytes, word, name.size)) continue;
        *out = i;
        return true;
    }
    return false;
}

enum atoll_status compiled_dump(struct rt_module *module, const char *word, struct atoll_error *err) {
    uint32_t func;
    if (!find_function(module, word, &func))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "no function \"%s\" to dump", word);
    struct bc_buf out;
    bc_buf_init(&out, &atoll_default_alloc);
    enum atoll_status status = jit_dump(module, func, &out, err);
    if (!status && out.failed) status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (!status) fwrite(out.data, 1, out.size, stderr);
    bc_buf_fini(&out);
    return status;
}
