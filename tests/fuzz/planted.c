/* tests/fuzz/planted.c: see planted.h. */
#include "tests/fuzz/planted.h"
#include <ftw.h>
#include <limits.h>
#include <unistd.h>

static const char *const outside[] = {"secret", "outside", "outside/treasure", "."};
enum { N_OUTSIDE = sizeof outside / sizeof *outside };

static char root[64];
static struct stat first[N_OUTSIDE];

const char *planted_at(const char *name) {
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", root, name);
    return path;
}

static void write_file(const char *name, const char *text) {
    FILE *f = fopen(planted_at(name), "w");
    FUZZ_CHECK(f && fputs(text, f) >= 0 && !fclose(f));
}

static bool holds(const char *name, const char *text) {
    char found[64] = "";
    FILE *f = fopen(planted_at(name), "r");
    if (!f) return false;
    found[fread(found, 1, sizeof found - 1, f)] = 0;
    fclose(f);
    return !strcmp(found, text);
}

static bool is_there(const char *name) {
    struct stat st;
    return lstat(planted_at(name), &st) == 0;
}

static int remove_below(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)kind;
    if (S_ISDIR(st->st_mode)) chmod(path, 0700);
    if (where->level) remove(path);
    return 0;
}

static void remove_all(void) {
    nftw(root, remove_below, 16, FTW_DEPTH | FTW_PHYS);
    rmdir(root);
}

bool planted_make(void) {
    if (root[0]) return false;
    snprintf(root, sizeof root, "%s/atoll-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    FUZZ_CHECK(mkdtemp(root));
    atexit(remove_all);
    FUZZ_CHECK(!mkdir(planted_at("in"), 0755) && !mkdir(planted_at("outside"), 0755));
    write_file("secret", "secret");
    write_file("outside/treasure", "treasure");
    for (int i = 0; i < N_OUTSIDE; i++) FUZZ_CHECK(!lstat(planted_at(outside[i]), &first[i]));
    return true;
}

void planted_renew(const char *const (*links)[2], size_t n) {
    chmod(planted_at("in"), 0700);
    nftw(planted_at("in"), remove_below, 16, FTW_DEPTH | FTW_PHYS);
    FUZZ_CHECK(!mkdir(planted_at("in/sub"), 0755) && !mkdir(planted_at("in/sub/deep"), 0755));
    write_file("in/file", "hello");
    write_file("in/sub/inner", "inner");
    for (size_t i = 0; i < n; i++) FUZZ_CHECK(!symlink(links[i][0], planted_at(links[i][1])));
}

/* What is made or goes in a directory changes its time. */
void planted_check_outside(void) {
    struct stat st;
    FUZZ_CHECK(holds("secret", "secret") && holds("outside/treasure", "treasure"));
    FUZZ_CHECK(is_there("in") && is_there("outside"));
    for (int i = 0; i < N_OUTSIDE; i++) {
        FUZZ_CHECK(!lstat(planted_at(outside[i]), &st));
        FUZZ_CHECK(st.st_ino == first[i].st_ino && st.st_mode == first[i].st_mode &&
                   !memcmp(&st.st_mtim, &first[i].st_mtim, sizeof st.st_mtim));
    }
}

void planted_check_inside(ino_t inode) {
    for (int i = 0; i < N_OUTSIDE; i++) FUZZ_CHECK(inode != first[i].st_ino);
}
