/* tests/fuzz/seeds.c: fills a folder with inputs a fuzz target starts from.
 * usage  fuzz_seeds KIND CORPUS OUT   KIND: modules (.wat is assembled), text, scripts, files,
 *        debug (the debugging sections of modules, as fuzz_dwarf wants them)
 *
 * Beside the files of CORPUS come the official suite's modules, texts or scripts where ATOLL_SPEC_DIR has
 * them. */
#include <dirent.h>
#include <sys/stat.h>
#include "tests/fuzz/fuzz.h"

#define MAX_SEED_BYTES 65536

static const char *out_dir;

static void put(const void *bytes, size_t n) {
    char path[4096];
    if (n > MAX_SEED_BYTES) return;
    snprintf(path, sizeof path, "%s/%016llx", out_dir,
             (unsigned long long)fuzz_hash(FUZZ_HASH_START, bytes, n));
    FILE *f = fopen(path, "wb");
    if (!f) return;
    if (n) fwrite(bytes, 1, n, f);
    fclose(f);
}

static void put_assembled(const char *text, size_t n) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, &atoll_default_alloc);
    if (!bc_text_assemble(text, n, NULL, &bytes, NULL, NULL)) put(bytes.data, bytes.size);
    bc_buf_fini(&bytes);
}

static void put_from_script(const char *text, size_t n, bool as_modules) {
    struct bc_script *s = NULL;
    if (bc_script_parse(text, n, NULL, &s, NULL)) return;
    for (size_t i = 0; i < bc_script_count(s); i++) {
        const struct bc_command *c = bc_script_command(s, i);
        struct bc_buf bytes;
        if (!c->has_module) continue;
        bc_buf_init(&bytes, &atoll_default_alloc);
        if (as_modules && !bc_script_module_bytes(s, c, NULL, &bytes, NULL)) put(bytes.data, bytes.size);
        if (!as_modules && c->source != BC_SOURCE_BINARY) put(c->module_text, c->module_text_size);
        bc_buf_fini(&bytes);
    }
    bc_script_free(s);
}

/* Of an assembled module. */
static void put_debug_sections(const char *text, size_t n) {
    struct bc_buf bytes, chunks;
    struct bc_module *m = NULL;
    bc_buf_init(&bytes, &atoll_default_alloc);
    bc_buf_init(&chunks, &atoll_default_alloc);
    if (!bc_text_assemble(text, n, NULL, &bytes, NULL, NULL) &&
        !bc_module_decode(bytes.data, bytes.size, NULL, &m, NULL)) {
        for (uint32_t i = 0; i < m->n_customs; i++) fuzz_put_debug_section(&chunks, m, m->customs + i);
        put(chunks.data, chunks.size);
    }
    bc_module_free(m);
    bc_buf_fini(&chunks);
    bc_buf_fini(&bytes);
}

static void put_file(const char *kind, const char *path, const char *bytes, size_t n) {
    const char *dot = strrchr(path, '.');
    bool script = dot && !strcmp(dot, ".wast");
    if (!strcmp(kind, "debug"))
        put_debug_sections(bytes, n);
    else if (!strcmp(kind, "modules") && dot && !strcmp(dot, ".wat"))
        put_assembled(bytes, n);
    else if (!strcmp(kind, "modules") && script)
        put_from_script(bytes, n, true);
    else if (!strcmp(kind, "text") && script)
        put_from_script(bytes, n, false);
    else
        put(bytes, n);
}

static int each_file(const char *kind, const char *dir, bool scripts_only) {
    DIR *d = opendir(dir);
    if (!d) return -1;
    for (struct dirent *e; (e = readdir(d));) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (stat(path, &st) || !S_ISREG(st.st_mode) || (scripts_only && !strstr(path, ".wast"))) continue;
        FILE *f = fopen(path, "rb");
        char *bytes = malloc((size_t)st.st_size + 1);
        if (f && bytes) put_file(kind, path, bytes, fread(bytes, 1, (size_t)st.st_size, f));
        free(bytes);
        if (f) fclose(f);
    }
    closedir(d);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4) return fputs("usage: fuzz_seeds KIND CORPUS OUT\n", stderr), 2;
    char suite[4096];
    const char *spec = getenv("ATOLL_SPEC_DIR");
    snprintf(suite, sizeof suite, "%s/core", spec && *spec ? spec : ATOLL_DEFAULT_SPEC_DIR);
    out_dir = argv[3];
    mkdir(out_dir, 0777);
    if (each_file(argv[1], argv[2], false)) return fprintf(stderr, "no corpus at %s\n", argv[2]), 1;
    if (strcmp(argv[1], "files") && strcmp(argv[1], "debug")) each_file(argv[1], suite, true);
    return 0;
}
