/* cli/code_dump.c: --dump: which functions, which stages, and where the text goes. Functions come from whichever thread
 * compiles them, each as a whole. */
#include "cli/code_dump.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "jit/jit.h"

/* ---- stages ---- */

static uint32_t stage_bits(const char *word, size_t size) {
    if (size == 3 && memcmp(word, "all", 3) == 0) return (UINT32_C(1) << JIT_STAGES) - 1;
    for (unsigned i = 0; i < JIT_STAGES; i++)
        if (strlen(jit_stage_names[i]) == size && memcmp(word, jit_stage_names[i], size) == 0)
            return UINT32_C(1) << i;
    return 0;
}

bool code_dump_stages(struct code_dump *d, const char *verb, const char *stages) {
    for (const char *at = stages;; at++) {
        size_t size = strcspn(at, ",");
        uint32_t bits = stage_bits(at, size);
        if (!bits) {
            char names[128] = "";
            for (unsigned i = 0; i < JIT_STAGES; i++)
                snprintf(names + strlen(names), sizeof names - strlen(names), "%s, ", jit_stage_names[i]);
            cli_message("%s: --dump: \"%.*s\" is no stage; there are %sall", verb,
                        (int)(size < 80 ? size : 80), at, names);
            return false;
        }
        d->viewer.stages |= bits;
        at += size;
        if (!*at) return true;
    }
}

/* ---- functions ---- */

static bool matches(const char *pattern, struct bc_name name) {
    char text[1024];
    if (!name.size || name.size >= sizeof text || memchr(name.bytes, 0, name.size)) return false;
    memcpy(text, name.bytes, name.size);
    text[name.size] = 0;
    return strcmp(pattern, text) == 0 || fnmatch(pattern, text, 0) == 0;
}

/* "7" or "3-9" */
static bool parse_range(char *word, uint64_t *from, uint64_t *to) {
    char *dash = strchr(word, '-');
    if (dash) *dash = 0;
    bool ok = cli_parse_count(word, from) && (!dash || cli_parse_count(dash + 1, to));
    if (dash) *dash = '-';
    if (!dash) *to = *from;
    return ok;
}

/* False: there is none. */
static bool choose(struct code_dump *d, char *word) {
    const struct bc_module *bc = d->module->bc;
    uint64_t from, to;
    bool found = false;
    if (parse_range(word, &from, &to)) {
        for (uint64_t i = from < bc->n_imported_funcs ? bc->n_imported_funcs : from;
             i <= to && i < bc->n_funcs; i++)
            found = true, d->chosen[i] = 1;
        return found;
    }
    for (uint32_t i = 0; i < bc->n_exports; i++) {
        const struct bc_export *e = bc->exports + i;
        if (e->kind == BC_EXTERN_FUNC && e->index >= bc->n_imported_funcs && matches(word, e->name))
            found = true, d->chosen[e->index] = 1;
    }
    for (uint32_t i = bc->n_imported_funcs; i < bc->n_funcs; i++)
        if (matches(word, bc_name_of(bc, BC_NAMES_FUNC, i))) found = true, d->chosen[i] = 1;
    return found;
}

static enum atoll_status choose_functions(struct code_dump *d, struct rt_module *module,
                                          struct atoll_error *err) {
    char *list = strdup(d->functions ? d->functions : "*"), *next = list;
    d->chosen = calloc(module->bc->n_funcs + 1u, 1);
    if (!list || !d->chosen) {
        free(list);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    if (!d->functions) memset(d->chosen, 1, module->bc->n_funcs);
    enum atoll_status status = ATOLL_OK;
    if (d->functions) rt_module_func_name(module, 0); /* which loads names */
    for (char *word; d->functions && !status && (word = strsep(&next, ","));)
        if (!choose(d, word))
            status = atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "no function \"%.200s\" to dump", word);
    free(list);
    return status;
}

static enum atoll_status open_folder(struct code_dump *d, struct atoll_error *err) {
    if (!d->path) return ATOLL_OK;
    int made = mkdir(d->path, 0777) ? errno : 0;
    d->folder = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->folder >= 0) return ATOLL_OK;
    int error = made && made != EEXIST ? made : errno;
    return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "--dump-to: %.200s: %s", d->path, strerror(error));
}

enum atoll_status code_dump_choose(struct code_dump *d, struct rt_module *module, struct atoll_error *err) {
    if (!d->viewer.stages) return ATOLL_OK;
    d->module = module;
    enum atoll_status status = choose_functions(d, module, err);
    return status ? status : open_folder(d, err);
}

/* ---- what comes ---- */

static bool wants(void *context, const struct rt_module *module, uint32_t func) {
    const struct code_dump *d = context;
    return module == d->module && d->chosen && d->chosen[func];
}

static void write_all(struct code_dump *d, int fd, const char *text, size_t n) {
    while (n) {
        ssize_t written = write(fd, text, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            int none = 0;
            atomic_compare_exchange_strong(&d->error, &none, errno);
            return;
        }
        text += written;
        n -= (size_t)written;
    }
}

static int open_file(struct code_dump *d, uint32_t func, uint32_t loop) {
    char name[64];
    if (loop == BC_NONE)
        snprintf(name, sizeof name, "%" PRIu32 ".txt", func);
    else
        snprintf(name, sizeof name, "%" PRIu32 "-loop-0x%" PRIx32 ".txt", func, loop);
    int none = 0, fd = openat(d->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) atomic_compare_exchange_strong(&d->error, &none, errno);
    return fd;
}

static void show(void *context, const struct rt_module *module, uint32_t func, uint32_t loop,
                 const char *text, size_t n_bytes) {
    struct code_dump *d = context;
    (void)module;
    if (d->folder < 0) {
        write_all(d, STDERR_FILENO, text, n_bytes);
        return;
    }
    int fd = open_file(d, func, loop);
    if (fd < 0) return;
    write_all(d, fd, text, n_bytes);
    close(fd);
}

/* ---- life ---- */

void code_dump_init(struct code_dump *d) {
    *d = (struct code_dump){.folder = -1, .viewer = {.wants = wants, .show = show}};
    d->viewer.context = d;
}

const struct rt_code_viewer *code_dump_viewer(struct code_dump *d) {
    if ((d->functions || d->path) && !d->viewer.stages) d->viewer.stages = stage_bits("all", 3);
    return d->viewer.stages ? &d->viewer : NULL;
}

int code_dump_end(struct code_dump *d) {
    int error = atomic_load(&d->error);
    if (!error || (error == EPIPE && !d->path)) return CLI_OK;
    cli_message("--dump: %s: %s", d->path ? d->path : "standard error", strerror(error));
    return CLI_INTERNAL;
}

void code_dump_fini(struct code_dump *d) {
    free(d->chosen);
    if (d->folder >= 0) close(d->folder);
}
