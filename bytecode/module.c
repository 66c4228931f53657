/* bytecode/module.c: the life of a module. */
#include "bytecode/internal.h"

#include <string.h>

uint64_t bc_hash_bytes(uint64_t seed, const void *bytes, size_t n) {
    const char *p = bytes;
    uint64_t hash = bc_hash_step(seed, n), word;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        hash = bc_hash_step(hash, word);
    }
    word = 0;
    if (n) memcpy(&word, p, n);
    return bc_hash_step(hash, word);
}

void bc_module_own_bytes(struct bc_module *module, size_t n_allocated) {
    module->owns_bytes = true;
    module->n_bytes_allocated = n_allocated;
}

void bc_module_free(struct bc_module *module) {
    if (!module) return;
    const struct atoll_alloc *alloc = module->arena.alloc;
    if (module->owns_bytes) atoll_free(alloc, (void *)(uintptr_t)module->bytes, module->n_bytes_allocated);
    bc_arena_fini(&module->arena);
    atoll_free(alloc, module, sizeof *module);
}
