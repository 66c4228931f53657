/* cli/run_options.c: the flags of `atoll run` and `atoll profile`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "atoll/alloc.h"
#include "cli/run.h"
#include "cli/run_options.h"
#include "interp/interp.h"
#include "jit/jit.h"
#include "stdlib/stdlib.h"

static bool list_add(struct run_list *list, const char *item) {
    if (atoll_grow(&atoll_default_alloc, (void **)&list->items, &list->capacity, list->n + 1,
                   sizeof *list->items))
        return false;
    list->items[list->n++] = item;
    return true;
}

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
const struct cli_flag run_flags[] = {
#include "cli/run_flags.def"
    {0}};
const struct cli_flag run_profile_flags[] = {{RUN_SVG, "svg", 0, "FILE", "write a flame graph"},
#include "cli/run_flags.def"
                                             {0}};

#define MAX_TABLE_ELEMS UINT64_C(20000000) /* unless a flag says otherwise: 160 MB */
#define MIN_STACK       (UINT64_C(4) << 10)
#define MAX_STACK       (UINT64_C(16) << 30)

static bool switch_feature(struct run_options *o, const char *word, bool on) {
    static const char *const words[] = {
#define X(id, word) word,
        BC_FEATURE_LIST(X)
#undef X
            NULL};
    for (unsigned i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) {
            uint64_t bit = UINT64_C(1) << i;
            o->features = on ? o->features | bit : o->features & ~bit;
            return true;
        }
    const char *near = cli_nearest(word, words);
    if (near)
        cli_usage(o->verb, "unknown feature \"%s\" (did you mean \"%s\"?)", word, near);
    else
        cli_usage(o->verb, "unknown feature \"%s\"; see \"atoll features\"", word);
    return false;
}

static bool add_variable(struct run_options *o, const char *text) {
    const char *value = strchr(text, '=') ? "" : getenv(text);
    if (text[0] == '=' || !text[0]) return cli_usage(o->verb, "--env needs a name"), false;
    if (!value) return true; /* not set here, so not set there */
    char *variable;
    int n = strchr(text, '=') ? asprintf(&variable, "%s", text) : asprintf(&variable, "%s=%s", text, value);
    return n >= 0 && list_add(&o->env, variable);
}

static bool bad_value(struct run_options *o, const char *flag, const char *text) {
    cli_usage(o->verb, "--%s: \"%s\" is not a value it takes", flag, text);
    return false;
}

static bool take_count(struct run_options *o, const char *flag, const char *text, uint64_t *out) {
    return (cli_parse_count(text, out) && *out && *out <= UINT32_MAX) || bad_value(o, flag, text);
}

static bool take_stack(struct run_options *o, const char *text) {
    if (!cli_parse_size(text, &o->max_stack)) return bad_value(o, "max-stack", text);
    if (o->max_stack >= MIN_STACK && o->max_stack <= MAX_STACK) return true;
    cli_usage(o->verb, "--max-stack: %s is not from 4k to 16G", text);
    return false;
}

static bool take_number(struct run_options *o, int id, const char *text) {
    switch (id) {
    case RUN_TIMEOUT:
        return (cli_parse_duration(text, &o->timeout_ns) && o->timeout_ns) || bad_value(o, "timeout", text);
    case RUN_FUEL:
        o->fuel_given = true;
        return (cli_parse_count(text, &o->fuel) && o->fuel <= INT64_MAX) || bad_value(o, "fuel", text);
    case RUN_MAX_MEMORY:
        return (cli_parse_size(text, &o->max_memory) && o->max_memory) || bad_value(o, "max-memory", text);
    case RUN_MAX_STACK: return take_stack(o, text);
    case RUN_MAX_GC_HEAP:
        return (cli_parse_size(text, &o->max_gc_heap) && o->max_gc_heap) || bad_value(o, "max-gc-heap", text);
    case RUN_GDB:
        o->gdb_given = true;
        return (cli_parse_count(text, &o->gdb_port) && o->gdb_port <= UINT16_MAX) ||
               bad_value(o, "gdb", text);
    case RUN_MAX_FDS: return take_count(o, "max-fds", text, &o->max_fds);
    case RUN_MAX_TABLE_ELEMENTS: return take_count(o, "max-table-elements", text, &o->max_table_elems);
    case RUN_MAX_TABLES: return take_count(o, "max-tables", text, &o->max_tables);
    case RUN_MAX_INSTANCES: return take_count(o, "max-instances", text, &o->max_instances);
    case RUN_MAX_THREADS:
        return (cli_parse_count(text, &o->max_threads) && o->max_threads <= UINT32_MAX) ||
               bad_value(o, "max-threads", text);
    default:
        return (cli_parse_size(text, &o->max_output) && o->max_output) || bad_value(o, "max-output", text);
    }
}

/* What tells of compiled code, and what needs the interpreter. */
static bool tier_fits(struct run_options *o) {
    bool jit = o->tier != &interp_tier && !o->gdb_given;
    bool dump = code_dump_viewer(&o->dump) != NULL;
    const char *interpreted = o->gdb_given ? "--gdb" : "--tier=interp";
    if ((o->stats || dump) && !jit) {
        cli_usage(o->verb, "--%s tells of compiled code: it does not go with %s", o->stats ? "stats" : "dump",
                  interpreted);
        return false;
    }
    if (o->verb == &cli_verb_profile && !jit) {
        cli_usage(o->verb, "compiled code is sampled: this does not go with %s", interpreted);
        return false;
    }
    return true;
}

static bool choose_tier(struct run_options *o, const char *word) {
    const struct rt_tier *const tiers[] = {&interp_tier, &jit_tier, &auto_tier};
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++)
        if (strcmp(word, tiers[i]->name) == 0) {
            o->tier = tiers[i];
            return true;
        }
    cli_usage(o->verb, "--tier takes interp, jit or auto, not \"%s\"", word);
    return false;
}

static bool take_preload(struct run_options *o, const char *value) {
    const char *equals = strchr(value, '=');
    if (!equals) return cli_usage(o->verb, "--preload takes NAME=FILE, not \"%s\"", value), false;
    size_t size = (size_t)(equals - value) + 1;
    for (size_t i = 0; i < o->preloads.n; i++)
        if (strncmp(o->preloads.items[i], value, size) == 0)
            return cli_usage(o->verb, "--preload gives the name \"%.*s\" twice", (int)size - 1, value), false;
    return list_add(&o->preloads, value);
}

static bool take_flag(struct run_options *o, int id, const char *value) {
    switch (id) {
    case RUN_DIR: return list_add(&o->dirs, value);
    case RUN_ENV: return add_variable(o, value);
    case RUN_TCPLISTEN: return list_add(&o->listens, value);
    case RUN_TIER: return choose_tier(o, value);
    case RUN_STATS: o->stats = true; return true;
    case RUN_PERF: o->perf = true; return true;
    case RUN_NATIVE_GDB: o->native_gdb = true; return true;
    case RUN_SVG: o->svg = value; return true;
    case RUN_NO_CACHE: o->no_cache = true; return true;
    case RUN_DUMP: return code_dump_stages(&o->dump, o->verb->name, value);
    case RUN_DUMP_FUNCTION: o->dump.functions = value; return true;
    case RUN_DUMP_TO: o->dump.path = value; return true;
    case RUN_ARGV0: o->argv0 = value; return true;
    case RUN_STDIN: o->stdio[0] = value; return true;
    case RUN_STDOUT: o->stdio[1] = value; return true;
    case RUN_STDERR: o->stdio[2] = value; return true;
    case RUN_INVOKE: o->invoke = value; return true;
    case RUN_PRELOAD: return take_preload(o, value);
    case RUN_NATIVE: return list_add(&o->natives, value);
    case RUN_TRAP_UNKNOWN: o->trap_unknown_imports = true; return true;
    case RUN_STRACE: o->strace = true; return true;
    case RUN_COREDUMP: o->coredump_path = value; return true;
    case RUN_RELAXED: o->relaxed_deterministic = true; return true;
    case RUN_DISABLE: return switch_feature(o, value, false);
    case RUN_ENABLE: return switch_feature(o, value, true);
    default: return take_number(o, id, value);
    }
}

/* The three streams and every --dir and --tcplisten hold a descriptor before the program opens its first. */
static bool enough_fds(struct run_options *o) {
    size_t granted = 3 + o->dirs.n + o->listens.n;
    if (!o->max_fds || o->max_fds >= granted) return true;
    cli_usage(o->verb, "--max-fds %llu is less than the %zu that the streams and grants need",
              (unsigned long long)o->max_fds, granted);
    return false;
}

int run_options_parse(struct run_options *o, struct cli_parser *p) {
    *o = (struct run_options){.verb = p->verb,
                              .tier = p->verb == &cli_verb_profile ? &jit_tier : &auto_tier,
                              .features = BC_FEATURES_DEFAULT | BC_FEATURES_GIVEN,
                              .max_threads = WASI_THREADS_DEFAULT,
                              .max_table_elems = MAX_TABLE_ELEMS};
    code_dump_init(&o->dump);
    for (;;) {
        int id = cli_next(p);
        if (id == CLI_ARGUMENT) {
            o->path = p->value;
            o->args = p->argv + p->at;
            o->n_args = (size_t)(p->argc - p->at);
            return enough_fds(o) && tier_fits(o) ? CLI_END : CLI_BAD;
        }
        if (id == CLI_END) return cli_usage(p->verb, "which program?"), CLI_BAD;
        if (id < 0) return id;
        if (!take_flag(o, id, p->value)) return CLI_BAD;
    }
}

void run_options_fini(struct run_options *o) {
    code_dump_fini(&o->dump);
    for (size_t i = 0; i < o->env.n; i++) free((char *)o->env.items[i]);
    struct run_list *lists[] = {&o->dirs, &o->listens, &o->env, &o->preloads, &o->natives};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        atoll_free(&atoll_default_alloc, lists[i]->items, lists[i]->capacity * sizeof(char *));
}
