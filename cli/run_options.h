/* cli/run_options.h: what the flags of `atoll run` and `atoll profile` ask for. */
#ifndef ATOLL_CLI_RUN_OPTIONS_H
#define ATOLL_CLI_RUN_OPTIONS_H

#include "cli/cli.h"
#include "cli/code_dump.h"
#include "runtime/runtime.h"

/* A growing list of strings; the strings are borrowed unless the list says otherwise. */
struct run_list {
    const char **items;
    size_t n, capacity;
};

/* Texts are the command line's. 0 stands for a bound that was not given, NULL for a text. */
struct run_options {
    const struct cli_verb *verb;
    struct run_list dirs, listens, env, preloads, natives; /* env's strings are owned */
    const char *argv0, *invoke, *stdio[3], *coredump_path;
    bool trap_unknown_imports, strace, relaxed_deterministic, fuel_given, gdb_given;
    uint64_t gdb_port, timeout_ns, fuel, max_memory, max_stack, max_gc_heap, max_fds, max_table_elems,
        max_tables, max_instances, max_output, max_threads;
    bool no_cache, perf, native_gdb, stats;
    const char *svg; /* of `atoll profile` */
    const struct rt_tier *tier;
    struct code_dump dump;
    bc_features features;
    const char *path; /* of the program */
    char **args;
    size_t n_args;
};

extern const struct cli_flag run_flags[], run_profile_flags[];

/* Takes the flags up to the program's own arguments. CLI_END: it may start; CLI_HELP: help was asked for and given;
 * CLI_BAD: a message was written. run_options_fini frees what it holds, whatever it returned. */
int run_options_parse(struct run_options *options, struct cli_parser *parser);
void run_options_fini(struct run_options *options);

#endif
