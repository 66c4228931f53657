/* bench/wasm2c_host.c: what a program that wasm2c turned into C (named "program") needs of WASI, so that bench/run can
 * measure it: arguments, output, the clock. Trusts the program. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "program.h"

struct Z_wasi_snapshot_preview1_instance_t {
    wasm_rt_memory_t *memory;
    int argc;
    char **argv;
};
typedef struct Z_wasi_snapshot_preview1_instance_t wasi;

enum { OK = 0, BADF = 8, SPIPE = 70 };

static void put(wasi *w, u32 at, const void *bytes, size_t n) { memcpy(w->memory->data + at, bytes, n); }
static u32 get_u32(wasi *w, u32 at) {
    u32 value;
    memcpy(&value, w->memory->data + at, sizeof value);
    return value;
}

u32 Z_wasi_snapshot_preview1Z_args_sizes_get(wasi *w, u32 count, u32 bytes) {
    u32 n = (u32)w->argc, size = 0;
    for (u32 i = 0; i < n; i++) size += (u32)strlen(w->argv[i]) + 1;
    put(w, count, &n, sizeof n);
    put(w, bytes, &size, sizeof size);
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_args_get(wasi *w, u32 argv, u32 bytes) {
    for (int i = 0; i < w->argc; i++) {
        size_t n = strlen(w->argv[i]) + 1;
        put(w, argv + 4 * (u32)i, &bytes, sizeof bytes);
        put(w, bytes, w->argv[i], n);
        bytes += (u32)n;
    }
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_environ_sizes_get(wasi *w, u32 count, u32 bytes) {
    u32 none = 0;
    put(w, count, &none, sizeof none);
    put(w, bytes, &none, sizeof none);
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_environ_get(wasi *w, u32 environ_at, u32 bytes) {
    (void)w, (void)environ_at, (void)bytes;
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_clock_time_get(wasi *w, u32 id, u64 precision, u32 out) {
    struct timespec t;
    (void)precision;
    clock_gettime(id == 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
    u64 ns = (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
    put(w, out, &ns, sizeof ns);
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_fd_close(wasi *w, u32 fd) {
    (void)w;
    return fd < 3 ? OK : BADF;
}

/* A character device that may be written. */
u32 Z_wasi_snapshot_preview1Z_fd_fdstat_get(wasi *w, u32 fd, u32 out) {
    u8 stat[24] = {2};
    if (fd > 2) return BADF;
    memset(stat + 8, 0xFF, 16);
    stat[8] = 0xFF & ~0x24; /* no seek, no tell */
    put(w, out, stat, sizeof stat);
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_fd_seek(wasi *w, u32 fd, u64 by, u32 from, u32 out) {
    (void)w, (void)fd, (void)by, (void)from, (void)out;
    return SPIPE;
}

u32 Z_wasi_snapshot_preview1Z_fd_read(wasi *w, u32 fd, u32 vectors, u32 n_vectors, u32 out) {
    u32 none = 0;
    (void)fd, (void)vectors, (void)n_vectors;
    put(w, out, &none, sizeof none);
    return OK;
}

u32 Z_wasi_snapshot_preview1Z_fd_prestat_get(wasi *w, u32 fd, u32 out) {
    (void)w, (void)fd, (void)out;
    return BADF;
}

u32 Z_wasi_snapshot_preview1Z_fd_prestat_dir_name(wasi *w, u32 fd, u32 name, u32 size) {
    (void)w, (void)fd, (void)name, (void)size;
    return BADF;
}

u32 Z_wasi_snapshot_preview1Z_fd_write(wasi *w, u32 fd, u32 vectors, u32 n_vectors, u32 out) {
    u32 total = 0;
    for (u32 i = 0; i < n_vectors; i++) {
        u32 at = get_u32(w, vectors + 8 * i), size = get_u32(w, vectors + 8 * i + 4);
        for (u32 done = 0; done < size;) {
            ssize_t n = write((int)fd, w->memory->data + at + done, size - done);
            if (n <= 0) return BADF;
            done += (u32)n;
        }
        total += size;
    }
    put(w, out, &total, sizeof total);
    return OK;
}

void Z_wasi_snapshot_preview1Z_proc_exit(wasi *w, u32 status) {
    (void)w;
    exit((int)status);
}

int main(int argc, char **argv) {
    static Z_program_instance_t program;
    wasi w = {.argc = argc, .argv = argv};
    wasm_rt_init();
    Z_program_init_module();
    Z_program_instantiate(&program, &w);
    w.memory = Z_programZ_memory(&program);
    Z_programZ__start(&program);
    return 0;
}
