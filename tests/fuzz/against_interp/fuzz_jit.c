/* tests/fuzz/against_interp/fuzz_jit.c: generated modules by the interpreter and as machine code, compared.
 * usage  fuzz_jit COUNT FIRST [FOLDER]   modules FIRST .. FIRST + COUNT - 1; what fails is made small and put there
 *        fuzz_jit FILE...                the modules in files, in either format
 *        fuzz_jit -w SEED FILE           writes module SEED
 *
 * Modules run in a child process, so that a crash is a finding with a name; so does each try of the reducer. */
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/fuzz/against_interp/compare.h"
#include "tests/fuzz/against_interp/generate.h"
#include "tests/fuzz/against_interp/reduce.h"

#define CHUNK 500 /* modules a child */

enum { FOUND_NOTHING, FOUND_DIFFERENCE = 10, FOUND_INVALID, FOUND_CRASH };

struct shared { /* by the children and their parent */
    uint64_t seed;
    struct compare_counts counts;
    char report[4096];
};
static struct shared *shared;

static void keep_report(const struct bc_buf *report) {
    size_t n = report->size < sizeof shared->report - 1 ? report->size : sizeof shared->report - 1;
    if (n) memcpy(shared->report, report->data, n);
    shared->report[n] = 0;
}

static int judge(struct compare *c, const uint8_t *bytes, size_t n_bytes) {
    struct bc_buf report;
    bc_buf_init(&report, &atoll_default_alloc);
    enum compare_result result = compare_module(c, bytes, n_bytes, &report);
    if (result != COMPARE_SAME) keep_report(&report);
    bc_buf_fini(&report);
    return result == COMPARE_SAME        ? FOUND_NOTHING
           : result == COMPARE_DIFFERENT ? FOUND_DIFFERENCE
                                         : FOUND_INVALID;
}

static int await(pid_t child) {
    int status;
    FUZZ_CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) &&
        (WEXITSTATUS(status) == FOUND_NOTHING || WEXITSTATUS(status) == FOUND_DIFFERENCE ||
         WEXITSTATUS(status) == FOUND_INVALID))
        return WEXITSTATUS(status);
    snprintf(shared->report, sizeof shared->report, "crash: %s %d\n",
             WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return FOUND_CRASH;
}

static void silence(void) {
    if (!freopen("/dev/null", "w", stderr)) _exit(1);
}

/* ---- one module, apart ---- */

static int judge_apart(const uint8_t *bytes, size_t n_bytes) {
    fflush(NULL);
    pid_t child = fork();
    if (child) return await(child);
    silence();
    struct compare *c = compare_new();
    int found = judge(c, bytes, n_bytes);
    compare_free(c);
    _exit(found);
}

static bool still_found(void *context, const uint8_t *bytes, size_t n_bytes) {
    return judge_apart(bytes, n_bytes) == *(const int *)context;
}

/* ---- findings ---- */

static void put_text(const struct bc_buf *module, const char *path) {
    struct bc_module *m = NULL;
    struct bc_buf text;
    struct bc_print_options options = {0};
    struct bc_config config = {.features = BC_FEATURES_DEFAULT | UINT64_C(1) << BC_FEATURE_WIDE_ARITHMETIC};
    bc_buf_init(&text, &atoll_default_alloc);
    FILE *f = fopen(path, "wb");
    if (f && !bc_module_decode(module->data, module->size, &config, &m, NULL) &&
        !bc_text_print(m, &options, &text, NULL))
        fwrite(text.data, 1, text.size, f);
    else if (f)
        fwrite(module->data, 1, module->size, f);
    if (f) fclose(f);
    bc_module_free(m);
    bc_buf_fini(&text);
}

static void report_finding(uint64_t seed, int found, const char *folder) {
    struct bc_buf module;
    char path[4096];
    bc_buf_init(&module, &atoll_default_alloc);
    gen_module(seed, &module);
    printf("module %" PRIu64 ": %s", seed, shared->report);
    fflush(stdout);
    if (folder && found != FOUND_INVALID && still_found(&found, module.data, module.size)) {
        reduce_module(&module, still_found, &found);
        judge_apart(module.data, module.size);
        snprintf(path, sizeof path, "%s/%" PRIu64 ".wat", folder, seed);
        put_text(&module, path);
        printf("made small in %s: %s", path, shared->report);
    }
    bc_buf_fini(&module);
    fflush(stdout);
}

/* ---- many ---- */

static void judge_from(uint64_t first, uint64_t end) {
    struct compare *c = compare_new();
    struct compare_counts before = shared->counts;
    for (uint64_t seed = first; seed < end; seed++) {
        struct bc_buf module;
        bc_buf_init(&module, &atoll_default_alloc);
        shared->seed = seed;
        gen_module(seed, &module);
        int found = judge(c, module.data, module.size);
        const uint64_t *n = (const uint64_t *)compare_counted(c), *old = (const uint64_t *)&before;
        for (size_t i = 0; i < sizeof before / sizeof *n; i++)
            ((uint64_t *)&shared->counts)[i] = old[i] + n[i];
        bc_buf_fini(&module);
        if (found) _exit(found);
    }
    compare_free(c);
    _exit(FOUND_NOTHING);
}

static int judge_many(uint64_t first, uint64_t count, const char *folder) {
    uint64_t at = first, end = first + count, n_found = 0;
    while (at < end) {
        uint64_t to = end - at > CHUNK ? at + CHUNK : end;
        fflush(NULL);
        pid_t child = fork();
        if (!child) judge_from(at, to);
        int found = await(child);
        at = found ? shared->seed + 1 : to;
        if (!found) continue;
        n_found++;
        report_finding(shared->seed, found, folder);
    }
    const struct compare_counts *n = &shared->counts;
    printf("modules %" PRIu64 ", functions %" PRIu64 ", compiled %" PRIu64 ", loops %" PRIu64
           ", calls %" PRIu64 ", traps %" PRIu64 ", cut short %" PRIu64 ", failed %" PRIu64 "\n",
           n->modules, n->functions, n->compiled, n->loops, n->calls, n->traps, n->cut, n_found);
    return n_found != 0;
}

static int judge_file(const char *path) {
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t size = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f) fclose(f);
    if (!size || size == sizeof bytes) return printf("%s: cannot be read\n", path), 1;
    int found = judge_apart(bytes, size);
    if (found) printf("%s: %s", path, shared->report);
    return found != 0;
}

static int write_module(uint64_t seed, const char *path) {
    struct bc_buf module;
    bc_buf_init(&module, &atoll_default_alloc);
    gen_module(seed, &module);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(module.data, 1, module.size, f) == module.size;
    ok = f && !fclose(f) && ok;
    bc_buf_fini(&module);
    return !ok;
}

int main(int argc, char **argv) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_CHECK(shared != MAP_FAILED);
    if (argc == 4 && !strcmp(argv[1], "-w")) return write_module(strtoull(argv[2], NULL, 10), argv[3]);
    char *end = argv[0];
    uint64_t count = argc > 2 ? strtoull(argv[1], &end, 10) : 0;
    if (argc > 2 && !*end) return judge_many(strtoull(argv[2], NULL, 10), count, argc > 3 ? argv[3] : NULL);
    if (argc < 2)
        return fprintf(stderr, "usage: fuzz_jit COUNT FIRST [FOLDER] | FILE... | -w SEED FILE\n"), 2;
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= judge_file(argv[i]);
    return failed;
}
