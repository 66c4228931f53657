/* cli/run.c: runs a program.
 *
 *   flags -> struct run_options -> sandbox (grants) -> engine, store -> preloads, program -> _start or --invoke -> exit */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "cli/code_dump.h"
#include "cli/link.h"
#include "cli/perf.h"
#include "cli/profile.h"
#include "cli/run.h"
#include "cli/run_options.h"
#include "cli/saved.h"
#include "interp/interp.h"
#include "jit/jit.h"
#include "stdlib/stdlib.h"

#define STACK_OF_ATOLL ((rlim_t)1 << 20) /* what is on it beside the program */

struct run {
    struct run_options options; /* as the flags say */
    struct profile *profile;
    struct saved_run saved;
    const struct rt_module *ran; /* the program, once it has started */
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
    struct saved own; /* what the file holds, if it is one of compiled code */
    int file_fd;      /* of the rest of it, or -1 */
    int fds[3];
    bool made[3]; /* the file of --stdout, --stderr was not there before */
    bool started; /* the program may have written */
    bool asking;  /* requests come from a program, not from setting up or tidying */
};

/* ---- what the program may touch ---- */

static void trace_line(void *context, const char *line) {
    const struct run *r = context;
    if (r->asking) dprintf(STDERR_FILENO, "%s\n", line);
}

static enum atoll_status make_sandbox(struct run *r, struct atoll_error *err) {
    const struct run_options *o = &r->options;
    struct sb_config config = {.max_fds = (uint32_t)o->max_fds,
                               .max_output_bytes = o->max_output,
                               .trace = o->strace ? trace_line : NULL,
                               .trace_context = r};
    enum atoll_status status = sb_new(&config, &r->sandbox, err);
    for (size_t i = 0; !status && i < o->dirs.n; i++)
        status = sb_grant_dir_text(r->sandbox, o->dirs.items[i], err);
    for (size_t i = 0; !status && i < o->listens.n; i++)
        status = sb_grant_listen(r->sandbox, o->listens.items[i], err);
    return status;
}

static enum atoll_status open_stdio(struct run *r, struct atoll_error *err) {
    const struct run_options *o = &r->options;
    for (int i = 0; i < 3; i++) {
        int how = i == 0 ? O_RDONLY : O_WRONLY | O_CREAT;
        r->made[i] = o->stdio[i] && i > 0 && access(o->stdio[i], F_OK) != 0;
        r->fds[i] = o->stdio[i] ? open(o->stdio[i], how | O_CLOEXEC, 0666) : fcntl(i, F_GETFD) < 0 ? -1 : i;
        if (!o->stdio[i] || r->fds[i] >= 0) continue;
        r->made[i] = false;
        enum atoll_status why = errno == EINTR && cli_stopped() ? ATOLL_E_INTERRUPTED : ATOLL_E_IO;
        return atoll_fail(err, why, ATOLL_NO_OFFSET, "%s: %s", o->stdio[i], strerror(errno));
    }
    return ATOLL_OK;
}

/* Output files keep what they held until the program really starts. */
static void empty_output(struct run *r) {
    for (int i = 1; i < 3 && !r->started; i++)
        if (r->options.stdio[i] && ftruncate(r->fds[i], 0)) continue; /* a pipe or a device */
    r->started = r->asking = true;
}

static void remove_unused_output(struct run *r) {
    for (int i = 1; i < 3; i++)
        if (r->made[i] && !r->started) unlink(r->options.stdio[i]);
}

static enum atoll_status make_wasi(struct run *r, struct atoll_error *err) {
    const struct run_options *o = &r->options;
    const char **argv = atoll_new(&atoll_default_alloc, o->n_args + 1, sizeof *argv);
    if (!argv) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    const char *slash = strrchr(o->path, '/');
    argv[0] = o->argv0 ? o->argv0 : slash ? slash + 1 : o->path;
    for (size_t i = 0; i < o->n_args; i++) argv[i + 1] = o->args[i];
    struct wasi_config config = {
        .argv = argv, .n_argv = o->n_args + 1, .env = o->env.items, .n_env = o->env.n};
    memcpy(config.stdio, r->fds, sizeof r->fds);
    enum atoll_status status = wasi_new(r->store, r->sandbox, &config, &r->wasi, err);
    atoll_free(&atoll_default_alloc, argv, (o->n_args + 1) * sizeof *argv);
    return status;
}

static enum atoll_status make_store(struct run *r, struct atoll_error *err) {
    struct run_options *o = &r->options;
    struct rt_config config = {.features = o->features,
                               .tier = o->gdb_given ? &interp_tier : o->tier,
                               .probes = o->gdb_given,
                               .viewer = code_dump_viewer(&o->dump),
                               .keep_code = !o->no_cache,
                               .code_placed = o->perf || o->native_gdb ? perf_code_placed : NULL,
                               .breakable_code = o->native_gdb,
                               .stop = cli_stop_flag(),
                               .fuel = o->fuel_given,
                               .relaxed_deterministic = o->relaxed_deterministic,
                               .stack_bytes = o->max_stack,
                               .max_gc_heap_bytes = o->max_gc_heap};
    struct rt_limits limits = {.max_memory_bytes = o->max_memory,
                               .max_table_elems = o->max_table_elems,
                               .max_instances = (uint32_t)o->max_instances,
                               .max_tables = (uint32_t)o->max_tables};
    const char *why;
    if (o->perf && !perf_open(&why)) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "--perf: %s", why);
    if (o->native_gdb) native_gdb_open();
    enum atoll_status status = rt_engine_new(&config, &r->engine, err);
    if (!status) status = rt_store_new(r->engine, &limits, &r->store, err);
    r->told = r->store;
    if (!status && o->fuel_given) r->store->fuel = (int64_t)o->fuel;
    if (!status && o->coredump_path && !(r->coredump = coredump_new(r->store)))
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (!status && o->gdb_given) {
        r->gdb = gdb_new(r->store, (uint16_t)o->gdb_port, (uint32_t)o->preloads.n, err);
        if (!r->gdb) status = err->code;
    }
    return status;
}

/* ---- linking ---- */

static void empty_output_of(void *run) { empty_output(run); }

/* Instances and libraries come into being in the first thread's store. */
static enum atoll_status open_links(struct run *r, const char **blame, struct atoll_error *err) {
    const struct run_options *o = &r->options;
    enum atoll_status status = link_files_init(&r->link_files, o->preloads.items, o->preloads.n,
                                               o->natives.items, o->natives.n, err);
    r->link_files.trap_unknown = o->trap_unknown_imports;
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
    return config->tier != &interp_tier && !config->viewer;
}

/* What earlier runs left of the program. *code: the code in its own file, if it may be used; what is in the cache needs
 * --no-cache's absence. Returns why code in the file is of no use, or NULL. */
static const char *look_for_saved(struct run *r, struct saved *file, struct saved **code) {
    const struct rt_config *config = &r->engine->config;
    const char *why = NULL;
    bool has_code = file->head_bytes && runs_saved_code(config),
         is_large = file->program_bytes >= SAVED_LARGE_PROGRAM;
    if (!has_code && (r->options.no_cache || config->viewer || (!runs_saved_code(config) && !is_large)))
        return NULL;
    bool open = cache_open(&r->saved.cache, &why);
    r->saved.has_cache = open && !r->options.no_cache;
    bool sealed = has_code && open && saved_is_sealed(file, r->saved.cache.key),
         valid = sealed && saved_is_valid(file, config->features);
    if (has_code && open)
        why = sealed ? jit_saved_misfit(file->head, file->head_bytes, config)
                     : "it was changed, or sealed by somebody else";
    if (sealed && !why)
        *code = file;
    else if (r->saved.has_cache)
        saved_find(&r->saved, file->program, file->program_bytes, config);
    r->saved.is_valid |= valid;
    return has_code ? why : NULL;
}

static enum atoll_status take_saved_code(struct run *r, struct rt_module *module, struct saved *own,
                                         struct atoll_error *err) {
    if (!runs_saved_code(&r->engine->config)) return ATOLL_OK;
    if (!own) return saved_restore(&r->saved, module, err);
    const struct jit_saved code = saved_code(own);
    own->body.told_as = r->options.path;
    return jit_restore(module, &code, err);
}

static enum atoll_status start_program(struct run *r, struct rt_instance **out, struct atoll_error *err) {
    enum atoll_status status = cli_program_read_to_run(r->options.path, &r->file, &r->file_fd, err);
    if (status) return status;
    struct rt_module *module;
    struct saved *code = NULL;
    if (!saved_parse(r->file.bytes, r->file.size, r->file_fd, &r->own))
        r->own = (struct saved){.program = r->file.bytes, .program_bytes = r->file.size};
    const char *why = look_for_saved(r, &r->own, &code);
    status = rt_module_load_again(r->engine, r->own.program, r->own.program_bytes, r->saved.is_valid,
                                  r->options.path, &module, err);
    if (status) return status;
    if (why) cli_message("%s: its machine code is not used: %s", cli_file_name(r->options.path), why);
    status = code_dump_choose(&r->options.dump, module, err);
    if (!status) status = take_saved_code(r, module, code, err);
    if (status) {
        rt_module_unref(module);
        return status;
    }
    struct wasi_thread_linker linker = links_for_threads(&r->links);
    if (wasi_threads_wanted(module)) gdb_expect_threads(r->gdb);
    if (wasi_threads_wanted(module))
        status = wasi_threads_new(r->wasi, module, links_resolve, &r->links, &linker,
                                  (uint32_t)r->options.max_threads, &r->threads, err);
    r->links.threads = r->threads;
    if (!status) status = links_start(&r->links, module, out, err);
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
        cli_message("%s: no _start to run; --invoke can call %.*s", cli_file_name(r->options.path),
                    (int)names.size, (const char *)names.data);
    else
        cli_message("%s: no _start to run, and no function is exported", cli_file_name(r->options.path));
done:
    bc_buf_fini(&names);
}

static bool begin_profile(struct run *r) {
    r->profile = profile_new(r->store);
    return r->profile && profile_start(r->profile);
}

/* On this thread, which is the program's first. */
static enum atoll_status run_first(struct run *r, struct atoll_error *err) {
    const struct run_options *o = &r->options;
    struct rt_instance *instance;
    enum atoll_status status = start_program(r, &instance, err);
    if (status) return status;
    r->ran = instance->module;
    if (o->verb == &cli_verb_profile && !begin_profile(r))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "no memory or no timer for samples");
    if (o->invoke) return cli_invoke(r->store, instance, o->invoke, o->args, o->n_args, err);
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
    *blame = r->options.path;
    status = run_first(r, err);
    if (r->options.stats && r->ran) compiled_stats(r->ran, r->saved.is_valid);
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
    if (dump && coredump_write(dump, r->options.coredump_path, r->options.path, r->told_tid) == CLI_OK)
        cli_message("%s: core dump of %s", r->options.coredump_path, path);
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
    if (status) return exit_status(r, r->options.path, status, &err);
    status = make_wasi(r, &err);
    if (status) return cli_message("run: %s", err.text), CLI_INTERNAL;
    const char *blame = r->options.path;
    if (r->gdb) status = gdb_wait(r->gdb, &err);
    if (status == ATOLL_E_IO) return cli_message("run: %s", err.text), CLI_INTERNAL;
    if (!status) status = run_program(r, &blame, &err);
    r->asking = false;
    /* it was told to stop and came to its end before it looked */
    if ((status == ATOLL_OK || status == ATOLL_E_EXIT) && cli_stopped()) status = ATOLL_E_INTERRUPTED;
    if (r->profile) profile_stop(r->profile);
    int result = exit_status(r, blame, status, &err);
    if (r->profile && profile_report(r->profile, r->options.svg) && !result) result = CLI_INTERNAL;
    return result;
}

/* Compiled code runs on this thread's own stack. Its limit, which counts when it grows, is raised to what the program may
 * have, as far as that is allowed; the kernel leaves some 100 MiB below it for that. */
static void make_room_for_stack(size_t bytes) {
    struct rlimit limit;
    const rlim_t want = bytes + STACK_OF_ATOLL;
    if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= want) return;
    limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
    setrlimit(RLIMIT_STACK, &limit);
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
    make_room_for_stack(r->engine->config.stack_bytes);
    signal(SIGPIPE, SIG_IGN); /* the program gets EPIPE as its answer */
    cli_stop_watch(r->store, r->options.timeout_ns);
    int result = run_watched(r);
    gdb_finish(r->gdb, result);
    cli_stop_unwatch();
    remove_unused_output(r);
    if (code_dump_end(&r->options.dump) && !result) result = CLI_INTERNAL;
    return result;
}

static void release(struct run *r) {
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
    sb_free(r->sandbox);
    saved_forget(&r->saved);
    cache_close(&r->saved.cache);
    saved_fini(&r->own);
    cli_file_close(&r->file);
    if (r->file_fd >= 0) close(r->file_fd);
    for (int i = 0; i < 3; i++)
        if (r->options.stdio[i] && r->fds[i] >= 0) close(r->fds[i]);
    run_options_fini(&r->options);
}

static int run_run(struct cli_parser *p) {
    struct run r = {.saved = {.cache.folder = -1, .fd = -1}, .file_fd = -1, .fds = {-1, -1, -1}};
    int parsed = run_options_parse(&r.options, p);
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
    .flags = run_flags,
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
    .flags = run_profile_flags,
    .first_argument_ends_flags = true,
    .run = run_run,
};
