/* tests/fuzz/fuzz_boot.c: any bytes as a kernel file: it is loaded, and then begins in guest memory, or refused
 * with an error that lies in the file; memory that runs out is told, and nothing is kept.
 * input: a byte of choices, then the file */
#include "tests/fuzz/fuzz.h"
#include "sysvm/boot/boot.h"

enum { SELF_UNPACKING = 1, WITH_INITRD = 2, MEMORY_BYTES = 20 << 20 };

static enum atoll_status load(const struct atoll_alloc *alloc, const uint8_t *data, size_t size,
                              struct vm_memory *memory, struct vm_cpu_state *out, struct atoll_error *err) {
    static const uint8_t initrd[5000] = {1};
    struct vm_boot_config config = {.alloc = alloc,
                                    .memory = memory,
                                    .n_cpus = 2,
                                    .kernel = {data + 1, size - 1},
                                    .initrd = {initrd, data[0] & WITH_INITRD ? sizeof initrd : 0},
                                    .cmdline = "console=ttyS0 quiet",
                                    .self_unpacking = data[0] & SELF_UNPACKING};
    return vm_boot_load(&config, out, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct vm_memory *memory;
    struct vm_cpu_state state;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct fuzz_alloc alloc;
    if (!size) return 0;
    if (vm_memory_new(&atoll_default_alloc, MEMORY_BYTES, &memory, NULL) != ATOLL_OK) return 0;
    fuzz_alloc_init(&alloc, UINT64_MAX);
    enum atoll_status status = load(&alloc.alloc, data, size, memory, &state, &err);
    FUZZ_CHECK(alloc.n_bytes == 0);
    if (status == ATOLL_OK)
        FUZZ_CHECK(vm_memory_at(memory, state.rip, 1));
    else
        fuzz_check_error(&err, status, size - 1);
    vm_memory_free(memory);
    return 0;
}
