/* cli/features.c: what this build can run. */
#include <stdio.h>
#include "bytecode/bytecode.h"
#include "cli/cli.h"
#include "stdlib/stdlib.h"

static void print_features(void) {
    static const char *const words[] = {
#define X(id, word) word,
        BC_FEATURE_LIST(X)
#undef X
    };
    for (unsigned i = 0; i < BC_FEATURE_COUNT; i++)
        printf("%-26s %s\n", words[i], BC_FEATURES_DEFAULT >> i & 1 ? "on" : "off");
}

static void print_imports(void) {
    const char *module, *name, *signature;
    for (size_t i = 0; wasi_import_at(i, &module, &name, &signature); i++)
        printf("%-26s %-26s %s\n", module, name, signature);
}

enum { FEATURES_IMPORTS = 1 };
static const struct cli_flag flags[] = {
    {FEATURES_IMPORTS, "imports", 0, NULL, "list the functions a program can import instead"}, {0}};

static int run_features(struct cli_parser *p) {
    bool imports = false;
    for (;;) {
        switch (cli_next(p)) {
        case FEATURES_IMPORTS: imports = true; break;
        case CLI_ARGUMENT: return cli_usage(p->verb, "unexpected argument \"%s\"", p->value);
        case CLI_HELP: return CLI_OK;
        case CLI_END:
            if (imports)
                print_imports();
            else
                print_features();
            return CLI_OK;
        default: return CLI_USAGE;
        }
    }
}

const struct cli_verb cli_verb_features = {
    .name = "features",
    .arguments = "",
    .summary = "list the features of WebAssembly and whether they are on",
    .text = "Lists the features of WebAssembly that this build knows and whether they are on by default. "
            "\"atoll run --disable FEATURE\" switches one off, --enable one on.",
    .flags = flags,
    .run = run_features,
};
