/* cli/compile.c: compiles a program in advance.
 *
 *   file -> module -> code of all functions -> a file of both, sealed (saved.c) */
#include <stdio.h>
#include <string.h>
#include "cli/saved.h"
#include "jit/jit.h"

enum { COMPILE_OUTPUT = 1, COMPILE_RELAXED };
static const struct cli_flag flags[] = {
    {COMPILE_OUTPUT, "output", 'o', "OUT", "the file to write"},
    {COMPILE_RELAXED, "relaxed-deterministic", 0, NULL, "relaxed SIMD gives the same results everywhere"},
    {0}};

static int write_file(const struct cache *cache, const struct rt_module *module, const char *in,
                      const char *out) {
    struct bc_buf code, file;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    uint8_t hash[SAVED_HASH_BYTES];
    int result;
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_init(&file, &atoll_default_alloc);
    if (jit_save(module, &code, &err)) {
        result = cli_input_failed(in, &err);
    } else {
        struct saved parts = {.program = module->bc->bytes,
                              .program_bytes = module->bc->n_bytes,
                              .code = code.data,
                              .code_bytes = code.size};
        saved_hash(parts.program, parts.program_bytes, hash);
        saved_write(&file, cache->key, hash, &parts);
        if (file.failed) cli_message("out of memory");
        result = file.failed ? CLI_INTERNAL : cli_file_write(out, file.data, file.size);
    }
    bc_buf_fini(&file);
    bc_buf_fini(&code);
    return result;
}

static int compile_into(const struct cache *cache, struct rt_engine *engine, const char *in,
                        const char *out) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct cli_file file;
    struct rt_module *module = NULL;
    static const bc_stop never;
    enum atoll_status status = cli_program_read(in, &file, &err);
    struct saved parts = {.program = file.bytes, .program_bytes = file.size};
    if (!status) saved_parse(file.bytes, file.size, &parts); /* compiled before: again */
    if (!status) status = rt_module_load(engine, parts.program, parts.program_bytes, true, in, &module, &err);
    if (!status) status = jit_compile_module(module, &never, &err);
    int result = status ? cli_input_failed(in, &err) : write_file(cache, module, in, out);
    if (module) rt_module_unref(module);
    cli_file_close(&file);
    return result;
}

static int compile(const char *in, const char *out, bool relaxed) {
    struct rt_config config = {
        .features = ~UINT64_C(0), .tier = &jit_tier, .keep_code = true, .relaxed_deterministic = relaxed};
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct rt_engine *engine;
    struct cache cache;
    const char *why;
    if (!cache_open(&cache, &why)) {
        cli_message("compile: no key to seal the code with: %s", why);
        return CLI_INTERNAL;
    }
    int result = CLI_INTERNAL;
    if (rt_engine_new(&config, &engine, &err)) {
        cli_message("compile: %s", err.text);
    } else {
        result = compile_into(&cache, engine, in, out);
        rt_engine_unref(engine);
    }
    cache_close(&cache);
    return result;
}

static int run_compile(struct cli_parser *p) {
    const char *in = NULL, *out = NULL;
    bool relaxed = false;
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        if (id == CLI_ARGUMENT && in) return cli_usage(p->verb, "unexpected argument \"%s\"", p->value);
        if (id == CLI_ARGUMENT) in = p->value;
        if (id == COMPILE_OUTPUT) out = p->value;
        if (id == COMPILE_RELAXED) relaxed = true;
    }
    if (!in) return cli_usage(p->verb, "a file is missing");
    if (!out) return cli_usage(p->verb, "name the output with -o");
    return compile(in, out, relaxed);
}

const struct cli_verb cli_verb_compile = {
    .name = "compile",
    .arguments = "IN -o OUT",
    .summary = "compile a program in advance",
    .text = "Compiles all of IN and writes OUT, which holds the program and its machine code: \"atoll run "
            "OUT\" compiles "
            "nothing. The code is for this build of atoll, this kind of CPU and this user, whose key seals "
            "the file. "
            "Elsewhere, or when the file was changed, the program in it runs without that code.",
    .flags = flags,
    .run = run_compile,
};
