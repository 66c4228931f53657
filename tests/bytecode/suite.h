/* tests/bytecode/suite.h: every module of the official suite and of our own scripts, for tests that take all.
 */
#ifndef ATOLL_TESTS_SUITE_H
#define ATOLL_TESTS_SUITE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytecode/bytecode.h"

#define SUITE_SKIPPED 77

/* Calls visit with the bytes of each module that can be made from the scripts in a folder; `where` names
 * script and line. Returns the number of modules. */
static inline unsigned suite_each_module_in(const char *path,
                                            void (*visit)(const char *where, const uint8_t *bytes, size_t n,
                                                          bool from_text)) {
    char where[4500];
    unsigned n_modules = 0;
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4400];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        FILE *f = strstr(entries[i]->d_name, ".wast") ? fopen(file, "rb") : NULL;
        free(entries[i]);
        if (!f) continue;
        fseek(f, 0, SEEK_END);
        size_t size = (size_t)ftell(f);
        rewind(f);
        char *text = malloc(size + 1);
        size = text ? fread(text, 1, size, f) : 0;
        fclose(f);
        struct bc_script *s = NULL;
        if (text && !bc_script_parse(text, size, NULL, &s, NULL)) {
            for (size_t k = 0; k < bc_script_count(s); k++) {
                const struct bc_command *c = bc_script_command(s, k);
                struct bc_buf bytes;
                bc_buf_init(&bytes, &atoll_default_alloc);
                if (c->has_module && !bc_script_module_bytes(s, c, NULL, &bytes, NULL)) {
                    snprintf(where, sizeof where, "%s:%u", file, c->line);
                    visit(where, bytes.data, bytes.size, c->source != BC_SOURCE_BINARY);
                    n_modules++;
                }
                bc_buf_fini(&bytes);
            }
        }
        bc_script_free(s);
        free(text);
    }
    if (n > 0) free(entries);
    return n_modules;
}

/* Returns 0 where the official suite is absent. */
static inline unsigned suite_each_module(void (*visit)(const char *where, const uint8_t *bytes, size_t n,
                                                       bool from_text)) {
    const char *dir = getenv("ATOLL_SPEC_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/core", dir && *dir ? dir : ATOLL_DEFAULT_SPEC_DIR);
    suite_each_module_in(ATOLL_OWN_SCRIPTS, visit);
    return suite_each_module_in(path, visit);
}

#endif
