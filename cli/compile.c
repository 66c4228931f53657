/* cli/compile.c: compiles a program in advance.
 *
 *   file -> module -> code of all functions -> a file of both, sealed (saved.c) */
#include <stdio.h>
#include <string.h>
#include "cli/code_dump.h"
#include "cli/saved.h"
#include "jit/jit.h"

enum {
    COMPILE_OUTPUT = 1,
    COMPILE_RELAXED,
    COMPILE_FUEL,
    COMPILE_DUMP,
    COMPILE_DUMP_FUNCTION,
    COMPILE_DUMP_TO
};
static const struct cli_flag flags[] = {
    {COMPILE_OUTPUT, "output", 'o', "OUT", "the file to write"},
    {COMPILE_RELAXED, "relaxed-deterministic", 0, NULL, "relaxed SIMD gives the same results everywhere"},
    {COMPILE_FUEL, "fuel", 0, NULL, "for runs with --fuel: the code counts instructions"},
    CODE_DUMP_FLAGS(COMPILE),
    {0}};

/* Those that programs may use unless a flag says otherwise; 0 = it is not valid with them. */
static bc_features features_of(const struct bc_module *bc) {
    const struct bc_config usual = {.features = BC_FEATURES_DEFAULT | BC_FEATURES_GIVEN};
    struct bc_module *again;
    if (bc_module_decode(bc->bytes, bc->n_bytes, &usual, &again, NULL)) return 0;
    enum atoll_status status = bc_module_validate(again, &usual, NULL);
    bc_module_free(again);
    return status ? 0 : usual.features;
}

static int write_file(const struct cache *cache, const struct rt_module *module, const char *in,
                      const char *out) {
    struct bc_buf head, body, file;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    uint8_t hash[SAVED_HASH_BYTES];
    int result;
    bc_buf_init(&head, &atoll_default_alloc);
    bc_buf_init(&body, &atoll_default_alloc);
    bc_buf_init(&file, &atoll_default_alloc);
    if (jit_save(module, &head, &body, &err)) {
        result = cli_input_failed(in, &err);
    } else {
        saved_hash(module->bc->bytes, module->bc->n_bytes, hash);
        saved_write(&file, cache->key, hash, module->bc, features_of(module->bc), &head, &body);
        if (file.failed) cli_message("out of memory");
        result = file.failed ? CLI_INTERNAL : cli_file_write(out, file.data, file.size);
    }
    bc_buf_fini(&file);
    bc_buf_fini(&body);
    bc_buf_fini(&head);
    return result;
}

static int compile_into(const struct cache *cache, struct rt_engine *engine, const char *in, const char *out,
                        struct code_dump *dump) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct cli_file file;
    struct rt_module *module = NULL;
    static const bc_stop never;
    enum atoll_status status = cli_program_read(in, &file, &err);
    struct saved parts = {.program = file.bytes, .program_bytes = file.size};
    if (!status) saved_parse(file.bytes, file.size, -1, &parts); /* compiled before: again */
    if (!status) status = rt_module_load(engine, parts.program, parts.program_bytes, true, in, &module, &err);
    if (!status) status = code_dump_choose(dump, module, &err);
    if (!status) status = jit_compile_module(module, &never, &err);
    int result = status ? cli_input_failed(in, &err) : write_file(cache, module, in, out);
    if (status == ATOLL_E_USAGE) result = CLI_USAGE;
    if (module) rt_module_unref(module);
    cli_file_close(&file);
    return result;
}

struct settings {
    bool relaxed, fuel;
};

static int compile(const char *in, const char *out, const struct settings *settings, struct code_dump *dump) {
    struct rt_config config = {.features = ~UINT64_C(0),
                               .tier = &jit_tier,
                               .keep_code = true,
                               .viewer = code_dump_viewer(dump),
                               .fuel = settings->fuel,
                               .relaxed_deterministic = settings->relaxed};
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
        result = compile_into(&cache, engine, in, out, dump);
        rt_engine_unref(engine);
    }
    cache_close(&cache);
    return result;
}

/* CLI_END when the flags are read; CLI_HELP; CLI_BAD after a message. */
static int parse_flags(struct cli_parser *p, const char **in, const char **out, struct settings *settings,
                       struct code_dump *dump) {
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP || id == CLI_BAD) return id;
        if (id == CLI_ARGUMENT && *in)
            return cli_usage(p->verb, "unexpected argument \"%s\"", p->value), CLI_BAD;
        if (id == CLI_ARGUMENT) *in = p->value;
        if (id == COMPILE_OUTPUT) *out = p->value;
        if (id == COMPILE_RELAXED) settings->relaxed = true;
        if (id == COMPILE_FUEL) settings->fuel = true;
        if (id == COMPILE_DUMP && !code_dump_stages(dump, p->verb->name, p->value)) return CLI_BAD;
        if (id == COMPILE_DUMP_FUNCTION) dump->functions = p->value;
        if (id == COMPILE_DUMP_TO) dump->path = p->value;
    }
    if (!*in) return cli_usage(p->verb, "a file is missing"), CLI_BAD;
    if (!*out) return cli_usage(p->verb, "name the output with -o"), CLI_BAD;
    return CLI_END;
}

static int run_compile(struct cli_parser *p) {
    const char *in = NULL, *out = NULL;
    struct settings settings = {0};
    struct code_dump dump;
    code_dump_init(&dump);
    int parsed = parse_flags(p, &in, &out, &settings, &dump),
        result = parsed == CLI_HELP ? CLI_OK : CLI_USAGE;
    if (parsed == CLI_END) {
        result = compile(in, out, &settings, &dump);
        if (code_dump_end(&dump) && !result) result = CLI_INTERNAL;
    }
    code_dump_fini(&dump);
    return result;
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
