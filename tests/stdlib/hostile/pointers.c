/* A program whose pointers and sizes are wrong: each pointer of each function, past the end of memory and so that address
 * and size overflow. Every answer is an errno; none is success, none ends the program. Exits with the number of others. */
#include <stdint.h>
#include <stdio.h>

#define FUNCTION(name, ...)                                                                                  \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))                             \
    uint32_t raw_##name(__VA_ARGS__)
FUNCTION(args_get, uint32_t, uint32_t);
FUNCTION(args_sizes_get, uint32_t, uint32_t);
FUNCTION(environ_get, uint32_t, uint32_t);
FUNCTION(environ_sizes_get, uint32_t, uint32_t);
FUNCTION(clock_res_get, uint32_t, uint32_t);
FUNCTION(clock_time_get, uint32_t, uint64_t, uint32_t);
FUNCTION(fd_fdstat_get, uint32_t, uint32_t);
FUNCTION(fd_filestat_get, uint32_t, uint32_t);
FUNCTION(fd_prestat_get, uint32_t, uint32_t);
FUNCTION(fd_prestat_dir_name, uint32_t, uint32_t, uint32_t);
FUNCTION(fd_read, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(fd_pread, uint32_t, uint32_t, uint32_t, uint64_t, uint32_t);
FUNCTION(fd_write, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(fd_readdir, uint32_t, uint32_t, uint32_t, uint64_t, uint32_t);
FUNCTION(fd_seek, uint32_t, int64_t, uint32_t, uint32_t);
FUNCTION(fd_tell, uint32_t, uint32_t);
FUNCTION(path_open, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t, uint64_t, uint32_t, uint32_t);
FUNCTION(path_filestat_get, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(path_create_directory, uint32_t, uint32_t, uint32_t);
FUNCTION(path_readlink, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(path_rename, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(path_symlink, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(poll_oneoff, uint32_t, uint32_t, uint32_t, uint32_t);
FUNCTION(random_get, uint32_t, uint32_t);

static int wrong;
static void error(uint32_t answer, const char *what, uint32_t address) {
    if (answer > 0 && answer < 77) return;
    printf("%s with %x: %u\n", what, address, answer);
    wrong++;
}
#define ERROR(call) error((call), #call, at)
#define HUGE_SIZE   UINT32_MAX

struct iovec32 {
    uint32_t at, size;
};

int main(void) {
    static char good[256] = "file", out[256];
    uint32_t end = (uint32_t)__builtin_wasm_memory_size(0) << 16, ok = (uint32_t)(uintptr_t)out;
    uint32_t name = (uint32_t)(uintptr_t)good;
    const uint32_t addresses[] = {end, end - 1, UINT32_MAX, UINT32_MAX - 7, 0x80000000u};
    for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        uint32_t at = addresses[i];
        static struct iovec32 vectors[2];
        uint32_t list = (uint32_t)(uintptr_t)vectors;
        ERROR(raw_args_get(at, ok));
        ERROR(raw_args_get(ok, at));
        ERROR(raw_args_sizes_get(at, ok));
        ERROR(raw_args_sizes_get(ok, at));
        ERROR(raw_environ_get(at, ok));
        ERROR(raw_environ_sizes_get(at, ok));
        ERROR(raw_environ_sizes_get(ok, at));
        ERROR(raw_clock_res_get(0, at));
        ERROR(raw_clock_time_get(0, 1, at));
        ERROR(raw_fd_fdstat_get(1, at));
        ERROR(raw_fd_filestat_get(3, at));
        ERROR(raw_fd_prestat_get(3, at));
        if (at != end - 1) ERROR(raw_fd_prestat_dir_name(3, at, 1)); /* the name is one byte long */
        ERROR(raw_fd_read(0, at, 1, ok));
        ERROR(raw_fd_read(0, list, HUGE_SIZE, ok));
        vectors[0] = (struct iovec32){at, 16};
        ERROR(raw_fd_read(0, list, 1, ok));
        ERROR(raw_fd_write(1, list, 1, ok));
        ERROR(raw_fd_pread(3, list, 1, 0, ok));
        vectors[0] = (struct iovec32){name, HUGE_SIZE};
        ERROR(raw_fd_read(0, list, 1, ok));
        ERROR(raw_fd_write(1, list, 1, ok));
        ERROR(raw_fd_readdir(3, at, 64, 0, ok));
        ERROR(raw_fd_readdir(3, ok, HUGE_SIZE, 0, ok));
        ERROR(raw_fd_readdir(3, ok, 64, 0, at));
        ERROR(raw_fd_seek(3, 0, 1, at));
        ERROR(raw_fd_tell(3, at));
        ERROR(raw_path_open(3, 0, at, 4, 0, 2, 0, 0, ok));
        ERROR(raw_path_open(3, 0, name, HUGE_SIZE, 0, 2, 0, 0, ok));
        ERROR(raw_path_open(3, 0, name, 4, 0, 2, 0, 0, at));
        ERROR(raw_path_filestat_get(3, 0, name, 4, at));
        ERROR(raw_path_filestat_get(3, 0, at, 4, ok));
        ERROR(raw_path_create_directory(3, at, 4));
        ERROR(raw_path_create_directory(3, name, HUGE_SIZE));
        ERROR(raw_path_readlink(3, at, 4, ok, 64, ok));
        ERROR(raw_path_rename(3, at, 4, 3, name, 4));
        ERROR(raw_path_rename(3, name, 4, 3, at, 4));
        ERROR(raw_path_symlink(at, 4, 3, name, 4));
        ERROR(raw_path_symlink(name, 4, 3, at, 4));
        ERROR(raw_poll_oneoff(at, ok, 1, ok));
        ERROR(raw_poll_oneoff(ok, at, HUGE_SIZE, ok));
        ERROR(raw_random_get(at, 16));
        ERROR(raw_random_get(ok, HUGE_SIZE));
    }
    return wrong;
}
