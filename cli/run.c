/* cli/run.c: runs a program.
 *
 *   flags -> struct run -> sandbox (grants) -> engine, store -> preloads, program -> _start or --invoke -> exit */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/code_dump.h"
#include "cli/link.h"
#include "cli/profile.h"
#include "cli/run.h"
#include "cli/saved.h"
#include "interp/interp.h"
#include "jit/jit.h"
#include "stdlib/stdlib.h"

/* A growing list of strings; the strings are borrowed unless the list says otherwise. */
struct list {
    const char **items;
    size_t n, capacity;
};

struct run {
    const struct cli_verb *verb;
    /* as the flags say */
    struct list dirs, listens, env, preloads, natives; /* env's strings are owned */
    const char *argv0, *invoke, *stdio[3], *coredump_path;
    bool trap_unknown_imports, strace, relaxed_deterministic, fuel_given, gdb_given;
    uint64_t gdb_port, timeout_ns, fuel, max_memory, max_stack, max_gc_heap, max_fds, max_table_elems,
        max_tables, max_instances, max_output, max_threads;
    bool no_cache, perf, native_gdb;
    const char *svg; /* of `atoll profile` */
    struct profile *profile;
    struct saved_run saved;
    const struct rt_tier *tier;
    const struct rt_module *ran; /* the program, once it has started */
    bool stats;
    struct code_dump dump;
    bc_features features;
    const char *path;
    char **args;
    size_t n_args;
    /* made from them */
    struct sandbox *sandbox;
    struct rt_engine *engine;
    struct rt_store *store;
    struct wasi *wasi;
    struct coredump *coredump;    /* NULL: not wanted */
    struct gdb *gdb;              /* the same */
    struct wasi_threads *threads; /* NULL: the program starts none */
    struct rt_store *told;        /* which knows how the program ended: of the thread that ended it */
    uint32_t told_tid;            /* 0: the first */
    struct link_files link_files;
    struct links links; /* of the first thread */
    struct cli_file file;
    int fds[3];
    bool made[3]; /* the file of --stdout, --stderr was not there before */
    bool started; /* the program may have written */
    bool asking;  /* requests come from a program, not from setting up or tidying */
};

static bool list_add(struct list *list, const char *item) {
    if (atoll_grow(&atoll_default_alloc, (void **)&list->items, &list->capacity, list->n + 1,
                   sizeof *list->items))
        return false;
    list->items[list->n++] = item;
    return true;
}

/* ---- flags ---- */

enum {
    RUN_DIR = 1,
    RUN_ENV,
    RUN_ARGV0,
    RUN_STDIN,
    RUN_STDOUT,
    RUN_STDERR,
    RUN_INVOKE,
    RUN_PRELOAD,
    RUN_NATIVE,
    RUN_TRAP_UNKNOWN,
    RUN_TIMEOUT,
    RUN_FUEL,
    RUN_MAX_MEMORY,
    RUN_MAX_TABLE_ELEMENTS,
    RUN_MAX_TABLES,
    RUN_MAX_INSTANCES,
    RUN_MAX_STACK,
    RUN_MAX_GC_HEAP,
    RUN_MAX_FDS,
    RUN_MAX_OUTPUT,
    RUN_MAX_THREADS,
    RUN_STRACE,
    RUN_COREDUMP,
    RUN_GDB,
    RUN_TCPLISTEN,
    RUN_RELAXED,
    RUN_DISABLE,
    RUN_ENABLE,
    RUN_TIER,
    RUN_STATS,
    RUN_DUMP,
    RUN_DUMP_FUNCTION,
    RUN_DUMP_TO,
    RUN_NO_CACHE,
    RUN_PERF,
    RUN_NATIVE_GDB,
    RUN_SVG
};
static const struct cli_flag flags[] = {
#include "cli/run_flags.def"
    {0}};
static const struct cli_flag profile_flags[] = {{RUN_SVG, "svg", 0, "FILE", "write a flame graph"},
#include "cli/run_flags.def"
                                                {0}};

#define MAX_TABLE_ELEMS UINT64_C(20000000) /* unless a flag says otherwise: 160 MB */
#define MIN_STACK       (UINT64_C(4) << 10)
#define MAX_STACK       (UINT64_C(16) << 30)

static bool switch_feature(struct run *r, const char *word, bool on) {
    static const char *const words[] = {
#define X(id, word) word,
        BC_FEATURE_LIST(X)
#undef X
            NULL};
    for (unsigned i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) {
            uint64_t bit = UINT64_C(1) << i;
            r->features = on ? r->features | bit : r->features & ~bit;
            return true;
        }
    const char *near = cli_nearest(word, words);
    if (near)
        cli_usage(r->verb, "unknown feature \"%s\" (did you mean \"%s\"?)", word, near);
    else
        cli_usage(r->verb, "unknown feature \"%s\"; see \"atoll features\"", word);
    return false;
}

static bool add_variable(struct run *r, const char *text) {
    const char *value = strchr(text, '=') ? "" : getenv(text);
    if (text[0] == '=' || !text[0]) return cli_usage(r->verb, "--env needs a name"), false;
    if (!value) return true; /* not set here, so not set there */
    char *variable;
    int n = strchr(text, '=') ? asprintf(&variable, "%s", text) : asprintf(&variable, "%s=%s", text, value);
    return n >= 0 && list_add(&r->env, variable);
}

static bool bad_value(struct run *r, const char *flag, const char *text) {
    cli_usage(r->verb, "--%s: \"%s\" is not a value it takes", flag, text);
    return false;
}

static bool take_count(struct run *r, const char *flag, const char *text, uint64_t *out) {
    return (cli_parse_count(text, out) && *out && *out <= UINT32_MAX) || bad_value(r, flag, text);
}

static bool take_stack(struct run *r, const char *text) {
    if (!cli_parse_size(text, &r->max_stack)) return bad_value(r, "max-stack", text);
    if (r->max_stack >= MIN_STACK && r->max_stack <= MAX_STACK) return true;
    cli_usage(r->verb, "--max-stack: %s is not from 4k to 16G", text);
    return false;
}

static bool take_number(struct run *r, int id, const char *text) {
    switch (id) {
    case RUN_TIMEOUT:
        return (cli_parse_duration(text, &r->timeout_ns) && r->timeout_ns) || bad_value(r, "timeout", text);
    case RUN_FUEL:
        r->fuel_given = true;
        return (cli_parse_count(text, &r->fuel) && r->fuel <= INT64_MAX) || bad_value(r, "fuel", text);
    case RUN_MAX_MEMORY:
        return (cli_parse_size(text, &r->max_memory) && r->max_memory) || bad_value(r, "max-memory", text);
    case RUN_MAX_STACK: return take_stack(r, text);
    case RUN_MAX_GC_HEAP:
        return (cli_parse_size(text, &r->max_gc_heap) && r->max_gc_heap) || bad_value(r, "max-gc-heap", text);
    case RUN_GDB:
        r->gdb_given = true;
        return (cli_parse_count(text, &r->gdb_port) && r->gdb_port <= UINT16_MAX) ||
               bad_value(r, "gdb", text);
    case RUN_MAX_FDS: return take_count(r, "max-fds", text, &r->max_fds);
    case RUN_MAX_TABLE_ELEMENTS: return take_count(r, "max-table-elements", text, &r->max_table_elems);
    case RUN_MAX_TABLES: return take_count(r, "max-tables", text, &r->max_tables);
    case RUN_MAX_INSTANCES: return take_count(r, "max-instances", text, &r->max_instances);
    case RUN_MAX_THREADS:
        return (cli_parse_count(text, &r->max_threads) && r->max_threads <= UINT32_MAX) ||
               bad_value(r, "max-threads", text);
    default:
        return (cli_parse_size(text, &r->max_output) && r->max_output) || bad_value(r, "max-output", text);
    }
}

/* What tells of compiled code, and what needs the interpreter. */
static bool tier_fits(struct run *r) {
    bool jit = r->tier != &interp_tier && !r->gdb_given;
    bool dump = code_dump_viewer(&r->dump) != NULL;
    const char *interpreted = r->gdb_given ? "--gdb" : "--tier=interp";
    if ((r->stats || dump) && !jit) {
        cli_usage(r->verb, "--%s tells of compiled code: it does not go with %s", r->stats ? "stats" : "dump",
                  interpreted);
        return false;
    }
    if (r->verb == &cli_verb_profile && !jit) {
        cli_usage(r->verb, "compiled code is sampled: this does not go with %s", interpreted);
        return false;
    }
    return true;
}

static bool choose_tier(struct run *r, const char *word) {
    const struct rt_tier *const tiers[] = {&interp_tier, &jit_tier, &auto_tier};
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++)
        if (strcmp(word, tiers[i]->name) == 0) {
            r->tier = tiers[i];
            return true;
        }
    return bad_value(r, "tier", word);
}

static bool take_preload(struct run *r, const char *value) {
    const char *equals = strchr(value, '=');
    if (!equals) return cli_usage(r->verb, "--preload takes NAME=FILE, not \"%s\"", value), false;
    size_t size = (size_t)(equals - value) + 1;
    for (size_t i = 0; i < r->preloads.n; i++)
        if (strncmp(r->preloads.items[i], value, size) == 0)
            return cli_usage(r->verb, "--preload gives the name \"%.*s\" twice", (int)size - 1, value), false;
    return list_add(&r->preloads, value);
}

static bool take_flag(struct run *r, int id, const char *value) {
    switch (id) {
    case RUN_DIR: return list_add(&r->dirs, value);
    case RUN_ENV: return add_variable(r, value);
    case RUN_TCPLISTEN: return list_add(&r->listens, value);
    case RUN_TIER: return choose_tier(r, value);
    case RUN_STATS: r->stats = true; return true;
    case RUN_PERF: r->perf = true; return true;
    case RUN_NATIVE_GDB: r->native_gdb = true; return true;
    case RUN_SVG: r->svg = value; return true;
    case RUN_NO_CACHE: r->no_cache = true; return true;
    case RUN_DUMP: return code_dump_stages(&r->dump, r->verb->name, value);
    case RUN_DUMP_FUNCTION: r->dump.functions = value; return true;
    case RUN_DUMP_TO: r->dump.path = value; return true;
    case RUN_ARGV0: r->argv0 = value; return true;
    case RUN_STDIN: r->stdio[0] = value; return true;
    case RUN_STDOUT: r->stdio[1] = value; return true;
    case RUN_STDERR: r->stdio[2] = value; return true;
    case RUN_INVOKE: r->invoke = value; return true;
    case RUN_PRELOAD: return take_preload(r, value);
    case RUN_NATIVE: return list_add(&r->natives, value);
    case RUN_TRAP_UNKNOWN: r->trap_unknown_imports = true; return true;
    case RUN_STRACE: r->strace = true; return true;
    case RUN_COREDUMP: r->coredump_path = value; return true;
    case RUN_RELAXED: r->relaxed_deterministic = true; return true;
    case RUN_DISABLE: return switch_feature(r, value, false);
    case RUN_ENABLE: return switch_feature(r, value, true);
    default: return take_number(r, id, value);
    }
}

/* The three streams and every --dir and --tcplisten hold a descriptor before the program opens its first. */
static bool enough_fds(struct run *r) {
    size_t granted = 3 + r->dirs.n + r->listens.n;
    if (!r->max_fds || r->max_fds >= granted) return true;
    cli_usage(r->verb, "--max-fds %llu is less than the %zu that the streams and grants need",
              (unsigned long long)r->max_fds, granted);
    return false;
}

/* CLI_END when the program may start. */
static int parse_flags(struct run *r, struct cli_parser *p) {
    for (;;) {
        int id = cli_next(p);
        if (id == CLI_ARGUMENT) {
            r->path = p->value;
            r->args = p->argv + p->at;
            r->n_args = (size_t)(p->argc - p->at);
            return enough_fds(r) && tier_fits(r) ? CLI_END : CLI_BAD;
        }
        if (id == CLI_END) return cli_usage(p->verb, "which program?"), CLI_BAD;
        if (id < 0) return id;
        if (!take_flag(r, id, p->value)) return CLI_BAD;
    }
}

/* ---- what the program may touch ---- */

static void trace_line(void *context, const char *line) {
    const struct run *r = context;
    if (r->asking) dprintf(STDERR_FILENO, "%s\n", line);
}

static enum atoll_status make_sandbox(struct run *r, struct atoll_error *err) {
    struct sb_config config = {.max_fds = (uint32_t)r->max_fds,
                               .max_output_bytes = r->max_output,
                               .trace = r->strace ? trace_line : NULL,
                               .trace_context = r};
    enum atoll_status status = sb_new(&config, &r->sandbox, err);
    for (size_t i = 0; !status && i < r->dirs.n; i++)
        status = sb_grant_dir_text(r->sandbox, r->dirs.items[i], err);
    for (size_t i = 0; !status && i < r->listens.n; i++)
        status = sb_grant_listen(r->sandbox, r->listens.items[i], err);
    return status;
}

static enum atoll_status open_stdio(struct run *r, struct atoll_error *err) {
    for (int i = 0; i < 3; i++) {
        int how = i == 0 ? O_RDONLY : O_WRONLY | O_CREAT;
        r->made[i] = r->stdio[i] && i > 0 && access(r->stdio[i], F_OK) != 0;
        r->fds[i] = r->stdio[i] ? open(r->stdio[i], how | O_CLOEXEC, 0666) : fcntl(i, F_GETFD) < 0 ? -1 : i;
        if (!r->stdio[i] || r->fds[i] >= 0) continue;
        r->made[i] = false;
        enum atoll_status why = errno == EINTR && cli_stopped() ? ATOLL_E_INTERRUPTED : ATOLL_E_IO;
        return atoll_fail(err, why, ATOLL_NO_OFFSET, "%s: %s", r->stdio[i], strerror(errno));
    }
    return ATOLL_OK;
}

/* Output files keep what they held until the program really starts. */
static void empty_output(struct run *r) {
    for (int i = 1; i < 3 && !r->started; i++)
        if (r->stdio[i] && ftruncate(r->fds[i], 0)) continue; /* a pipe or a device */
    r->started = r->asking = true;
}

static void remove_unused_output(struct run *r) {
    for (int i = 1; i < 3; i++)
        if (r->made[i] && !r->started) unlink(r->stdio[i]);
}

static enum atoll_status make_wasi(struct run *r, struct atoll_error *err) {
    const char **argv = atoll_new(&atoll_default_alloc, r->n_args + 1, sizeof *argv);
    if (!argv) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    const char *slash = strrchr(r->path, '/');
    argv[0] = r->argv0 ? r->argv0 : slash ? slash + 1 : r->path;
    for (size_t i = 0; i < r->n_args; i++) argv[i + 1] = r->args[i];
    struct wasi_config config = {
        .argv = argv, .n_argv = r->n_args + 1, .env = r->env.items, .n_env = r->env.n};
    memcpy(config.stdio, r->fds, sizeof r->fds);
    enum atoll_status status = wasi_new(r->store, r->sandbox, &config, &r->wasi, err);
    atoll_free(&atoll_default_alloc, argv, (r->n_args + 1) * sizeof *argv);
    return status;
}

static enum atoll_status make_store(struct run *r, struct atoll_error *err) {
    struct rt_config config = {.features = r->features,
                               .tier = r->gdb_given ? &interp_tier : r->tier,
                               .probes = r->gdb_given,
                               .viewer = code_dump_viewer(&r->dump),
                               .keep_code = !r->no_cache,
                               .code_placed = r->perf || r->native_gdb ? perf_code_placed : NULL,
                               .stop = cli_stop_flag(),
                               .fuel = r->fuel_given,
                               .relaxed_deterministic = r->relaxed_deterministic,
                               .stack_bytes = r->max_stack,
                               .max_gc_heap_bytes = r->max_gc_heap};
    struct rt_limits limits = {.max_memory_bytes = r->max_memory,
                               .max_table_elems = r->max_table_elems,
                               .max_instances = (uint32_t)r->max_instances,
                               .max_tables = (uint32_t)r->max_tables};
    const char *why;
    if (r->perf && !perf_open(&why)) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "--perf: %s", why);
    if (r->native_gdb) native_gdb_open();
    enum atoll_status status = rt_engine_new(&config, &r->engine, err);
    if (!status) status = rt_store_new(r->engine, &limits, &r->store, err);
    r->told = r->store;
    if (!status && r->fuel_given) r->store->fuel = (int64_t)r->fuel;
    if (!status && r->coredump_path && !(r->coredump = coredump_new(r->store)))
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (!status && r->gdb_given) {
        r->gdb = gdb_new(r->store, (uint16_t)r->gdb_port, (uint32_t)r->preloads.n, err);
        if (!r->gdb) status = err->code;
    }
    return status;
}

/* ---- linking ---- */

static void empty_output_of(void *run) { empty_output(run); }

/* Instances and libraries come into being in the first thread's store. */
static enum atoll_status open_links(struct run *r, const char **blame, struct atoll_error *err) {
    enum atoll_status status = link_files_init(&r->link_files, r->preloads.items, r->preloads.n,
                                               r->natives.items, r->natives.n, err);
    r->link_files.trap_unknown = r->trap_unknown_imports;
    r->link_files.coredumps = r->coredump != NULL;
    r->link_files.gdb = r->gdb;
    r->link_files.wasi = r->wasi;
    r->link_files.sandbox = r->sandbox;
    r->links = (struct links){
        .files = &r->link_files, .store = r->store, .starts = empty_output_of, .starts_context = r};
    return status ? status : links_open(&r->links, blame, err);
}

/* Compiled code that was kept may be run; who looks at the compiler wants to see it made. */
static bool runs_saved_code(const struct rt_config *config) {
    return config->tier != &interp_tier && !config->fuel && !config->viewer;
}

/* What earlier runs left of the program. *code: the code in its own file, if it may be used; what is in the cache needs
 * --no-cache's absence. Returns why code in the file is of no use, or NULL. */
static const char *look_for_saved(struct run *r, const struct saved *file, const struct saved **code) {
    const struct rt_config *config = &r->engine->config;
    const char *why = NULL;
    bool has_code = file->code && runs_saved_code(config),
         is_large = file->program_bytes >= SAVED_LARGE_PROGRAM;
    if (!has_code && (r->no_cache || config->viewer || (!runs_saved_code(config) && !is_large))) return NULL;
    bool open = cache_open(&r->saved.cache, &why);
    r->saved.has_cache = open && !r->no_cache;
    if (has_code && open && saved_is_sealed(r->file.bytes, r->file.size, r->saved.cache.key)) {
        *code = file;
        r->saved.is_valid = saved_is_valid(file, config->features);
        return NULL;
    }
    if (r->saved.has_cache) saved_find(&r->saved, file->program, file->program_bytes, config);
    return !has_code ? NULL : open ? "it was changed, or sealed by somebody else" : why;
}

static enum atoll_status take_saved_code(struct run *r, struct rt_module *module, const struct saved *own,
                                         struct atoll_error *err) {
    if (!runs_saved_code(&r->engine->config)) return ATOLL_OK;
    return own ? jit_restore(module, own->code, own->code_bytes, err) : saved_restore(&r->saved, module, err);
}

static enum atoll_status start_program(struct run *r, struct rt_instance **out, struct atoll_error *err) {
    enum atoll_status status = cli_program_read(r->path, &r->file, err);
    if (status) return status;
    struct rt_module *module;
    struct saved file = {.program = r->file.bytes, .program_bytes = r->file.size};
    const struct saved *code = NULL;
    saved_parse(r->file.bytes, r->file.size, &file);
    const char *why = look_for_saved(r, &file, &code);
    status = rt_module_load_again(r->engine, file.program, file.program_bytes, r->saved.is_valid, r->path,
                                  &module, err);
    if (status) return status;
    if (why) cli_message("%s: its machine code is not used: %s", cli_file_name(r->path), why);
    status = code_dump_choose(&r->dump, module, err);
    if (!status) status = take_saved_code(r, module, code, err);
    if (status) {
        rt_module_unref(module);
        return status;
    }
    struct wasi_thread_linker linker = links_for_threads(&r->links);
    if (wasi_threads_wanted(module)) gdb_expect_threads(r->gdb);
    if (wasi_threads_wanted(module))
        status = wasi_threads_new(r->wasi, module, links_resolve, &r->links, &linker,
                                  (uint32_t)r->max_threads, &r->threads, err);
    r->links.threads = r->threads;
    if (!status) status = links_start(&r->links, module, out, err);
    saved_forget(&r->saved);
    rt_module_unref(module);
    return status;
}

/* A module that starts nothing by itself: --invoke was forgotten, perhaps. */
static void tell_what_there_is(const struct run *r, const struct bc_module *bc) {
    struct bc_buf names;
    bc_buf_init(&names, &atoll_default_alloc);
    for (uint32_t i = 0; i < bc->n_exports && names.size < 500; i++) {
        const struct bc_name *name = &bc->exports[i].name;
        if (bc->exports[i].kind != BC_EXTERN_FUNC) continue;
        if (name->size == 11 && memcmp(name->bytes, "_initialize", 11) == 0) goto done;
        bc_buf_text(&names, "%s%.*s", names.size ? ", " : "", (int)(name->size < 80 ? name->size : 80),
                    name->bytes);
    }
    if (bc->start != BC_NONE || names.failed) goto done;
    if (names.size)
        cli_message("%s: no _start to run; --invoke can call %.*s", cli_file_name(r->path), (int)names.size,
                    (const char *)names.data);
    else
        cli_message("%s: no _start to run, and no function is exported", cli_file_name(r->path));
done:
    bc_buf_fini(&names);
}

static bool begin_profile(struct run *r) {
    r->profile = profile_new(r->store);
    return r->profile && profile_start(r->profile);
}

/* On this thread, which is the program's first. */
static enum atoll_status run_first(struct run *r, struct atoll_error *err) {
    struct rt_instance *instance;
    enum atoll_status status = start_program(r, &instance, err);
    if (status) return status;
    r->ran = instance->module;
    if (r->verb == &cli_verb_profile && !begin_profile(r))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "no memory or no timer for samples");
    if (r->invoke) return cli_invoke(r->store, instance, r->invoke, r->args, r->n_args, err);
    struct rt_extern start;
    if (!rt_instance_export(instance, "_start", 6, &start) || start.kind != BC_EXTERN_FUNC) {
        tell_what_there_is(r, instance->module->bc);
        return ATOLL_OK;
    }
    if (start.func->type->n_params || start.func->type->n_results)
        return atoll_fail(err, ATOLL_E_LINK, ATOLL_NO_OFFSET, "_start takes or returns values");
    return rt_call(r->store, start.func, (union rt_slot[1]){{0}}, err);
}

static enum atoll_status run_program(struct run *r, const char **blame, struct atoll_error *err) {
    enum atoll_status status = open_links(r, blame, err);
    if (status) return status;
    *blame = r->path;
    status = run_first(r, err);
    if (r->stats && r->ran) compiled_stats(r->ran, r->saved.is_valid);
    if (r->threads) status = wasi_threads_end(r->threads, status, err, &r->told, &r->told_tid);
    if (r->ran) saved_keep(&r->saved, r->ran);
    return status;
}

/* ---- how it ended ---- */

static int report_trap(struct run *r, const char *path) {
    bool told = r->told->trap == RT_TRAP_HOST || r->told->trap == RT_TRAP_UNCAUGHT_EXCEPTION;
    const char *text = told && r->told->trap_text[0] ? r->told->trap_text : rt_trap_text(r->told->trap);
    if (r->told_tid)
        cli_message("%s: trap: %s (in thread %u)", cli_file_name(path), text, r->told_tid);
    else
        cli_message("%s: trap: %s", cli_file_name(path), text);
    struct bc_buf lines;
    bc_buf_init(&lines, &atoll_default_alloc);
    rt_store_backtrace(r->told, &lines);
    if (!lines.failed && lines.size) dprintf(STDERR_FILENO, "%.*s", (int)lines.size, (char *)lines.data);
    bc_buf_fini(&lines);
    struct coredump *dump = r->told_tid ? coredump_of(r->told) : r->coredump;
    if (dump && coredump_write(dump, r->coredump_path, r->path, r->told_tid) == CLI_OK)
        cli_message("%s: core dump of %s", r->coredump_path, path);
    return CLI_TRAP;
}

static int report_interruption(struct run *r, const char *path) {
    if (r->told->trap == RT_TRAP_OUT_OF_FUEL) return report_trap(r, path);
    if (cli_stop_signal()) return CLI_SIGNAL + cli_stop_signal();
    if (gdb_killed(r->gdb)) return CLI_SIGNAL + SIGKILL;
    cli_message("%s: stopped after --timeout", cli_file_name(path));
    return CLI_TIMEOUT;
}

static int exit_status(struct run *r, const char *path, enum atoll_status status,
                       const struct atoll_error *err) {
    switch (status) {
    case ATOLL_OK: return CLI_OK;
    case ATOLL_E_EXIT: return r->told->exit_code & 255;
    case ATOLL_E_TRAP: return report_trap(r, path);
    case ATOLL_E_INTERRUPTED: return report_interruption(r, path); /* also while a file was read */
    case ATOLL_E_USAGE: cli_error(path, err); return CLI_USAGE;
    case ATOLL_E_NOMEM: cli_error(path, err); return CLI_INTERNAL;
    case ATOLL_E_IO:
        cli_error(path, err);
        return err->system_errno == ENOENT || err->system_errno == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
    default: cli_error(path, err); return CLI_NOT_LOADABLE;
    }
}

/* The watch stands before the first file is opened: a pipe may block for ever. */
static int run_watched(struct run *r) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = open_stdio(r, &err);
    if (status == ATOLL_E_IO) return cli_message("run: %s", err.text), CLI_USAGE;
    if (status) return exit_status(r, r->path, status, &err);
    status = make_wasi(r, &err);
    if (status) return cli_message("run: %s", err.text), CLI_INTERNAL;
    const char *blame = r->path;
    if (r->gdb) status = gdb_wait(r->gdb, &err);
    if (status == ATOLL_E_IO) return cli_message("run: %s", err.text), CLI_INTERNAL;
    if (!status) status = run_program(r, &blame, &err);
    r->asking = false;
    /* it was told to stop and came to its end before it looked */
    if ((status == ATOLL_OK || status == ATOLL_E_EXIT) && cli_stopped()) status = ATOLL_E_INTERRUPTED;
    if (r->profile) profile_stop(r->profile);
    int result = exit_status(r, blame, status, &err);
    if (r->profile && profile_report(r->profile, r->svg) && !result) result = CLI_INTERNAL;
    return result;
}

static int set_up_and_run(struct run *r) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = make_sandbox(r, &err);
    bool granted = !status; /* what the flags name is there */
    if (!status) status = make_store(r, &err);
    if (status) {
        cli_message("run: %s", err.text);
        return !granted && status != ATOLL_E_NOMEM ? CLI_USAGE : CLI_INTERNAL;
    }
    signal(SIGPIPE, SIG_IGN); /* the program gets EPIPE as its answer */
    cli_stop_watch(r->store, r->timeout_ns);
    int result = run_watched(r);
    gdb_finish(r->gdb, result);
    cli_stop_unwatch();
    remove_unused_output(r);
    if (code_dump_end(&r->dump) && !result) result = CLI_INTERNAL;
    return result;
}

static void release(struct run *r) {
    saved_forget(&r->saved);
    cache_close(&r->saved.cache);
    wasi_threads_free(r->threads);
    links_close(&r->links);
    wasi_free(r->wasi);
    gdb_free(r->gdb);
    profile_free(r->profile);
    coredump_free(r->coredump);
    if (r->store) rt_store_free(r->store);
    link_files_fini(&r->link_files);
    native_gdb_close();
    if (r->engine) rt_engine_unref(r->engine);
    perf_close();
    code_dump_fini(&r->dump);
    sb_free(r->sandbox);
    cli_file_close(&r->file);
    for (size_t i = 0; i < r->env.n; i++) free((char *)r->env.items[i]);
    struct list *lists[] = {&r->dirs, &r->listens, &r->env, &r->preloads, &r->natives};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        atoll_free(&atoll_default_alloc, lists[i]->items, lists[i]->capacity * sizeof(char *));
    for (int i = 0; i < 3; i++)
        if (r->stdio[i] && r->fds[i] >= 0) close(r->fds[i]);
}

static int run_run(struct cli_parser *p) {
    struct run r = {.verb = p->verb,
                    .saved.cache.folder = -1,
                    .tier = p->verb == &cli_verb_profile ? &jit_tier : &auto_tier,
                    .features = BC_FEATURES_DEFAULT | BC_FEATURES_GIVEN,
                    .max_threads = WASI_THREADS_DEFAULT,
                    .max_table_elems = MAX_TABLE_ELEMS,
                    .fds = {-1, -1, -1}};
    code_dump_init(&r.dump);
    int parsed = parse_flags(&r, p);
    int status = parsed == CLI_END ? set_up_and_run(&r) : parsed == CLI_HELP ? CLI_OK : CLI_USAGE;
    release(&r);
    return status;
}

const struct cli_verb cli_verb_run = {
    .name = "run",
    .arguments = "PROGRAM [ARGS...]",
    .summary = "run a program",
    .text =
        "Runs a program in binary (.wasm) or text format (.wat), \"-\" meaning standard input. It sees its "
        "arguments and the three standard streams; everything else has to be granted by a flag.\n\n"
        "Flags stand before PROGRAM; what follows it belongs to the program. With --invoke, ARGS are the "
        "function's arguments: integers, floats, v128 as 0x and 32 digits, null.",
    .flags = flags,
    .first_argument_ends_flags = true,
    .run = run_run,
};

const struct cli_verb cli_verb_profile = {
    .name = "profile",
    .arguments = "PROGRAM [ARGS...]",
    .summary = "run a program and tell where its time goes",
    .text = "Runs a program as \"atoll run\" does, compiled before it starts, and looks at its first thread "
            "about a thousand "
            "times a second of CPU time. When it has ended, its functions are listed on standard error by "
            "the time spent in them "
            "(self) and in what they called (total); --svg draws the same as a flame graph.\n\n"
            "What the compiler declined is interpreted, and counts for the compiled function that called it.",
    .flags = profile_flags,
    .first_argument_ends_flags = true,
    .run = run_run,
};
