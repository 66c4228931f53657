/* tests/fuzz/replay.c: runs a fuzz target over files and folders of files, without libFuzzer.
 * usage  fuzz_replay_NAME PATH...   the last line says how many inputs there were */
#include <dirent.h>
#include <sys/stat.h>
#include "tests/fuzz/fuzz.h"

static unsigned n_inputs;

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return fprintf(stderr, "cannot read %s\n", path), 1;
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(size + !size); /* exact, so that the sanitizer sees a read behind it */
    size_t n = bytes ? fread(bytes, 1, size, f) : 0;
    fclose(f);
    if (getenv("FUZZ_VERBOSE")) fprintf(stderr, "%s\n", path);
    if (bytes && n == size) LLVMFuzzerTestOneInput(bytes, size);
    n_inputs++;
    free(bytes);
    return n != size;
}

static int replay(const char *path) {
    struct stat st;
    if (stat(path, &st)) return fprintf(stderr, "no %s\n", path), 1;
    if (!S_ISDIR(st.st_mode)) return replay_file(path);
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort), failed = n < 0;
    for (int i = 0; i < n; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') failed |= replay_file(name);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return failed;
}

int main(int argc, char **argv) {
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) failed |= replay(argv[i]);
    printf("%u inputs\n", n_inputs);
    return failed || !n_inputs;
}
