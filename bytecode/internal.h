/* bytecode/internal.h: what the files of this folder share and nobody else needs. */
#ifndef ATOLL_BYTECODE_INTERNAL_H
#define ATOLL_BYTECODE_INTERNAL_H

#include <stdatomic.h>
#include "bytecode/bytecode.h"

/* ---- hashing ---- */

/* One step of a multiply-and-fold hash over words. Tables keyed by input start from bc_hash_seed, so that an
 * input cannot be made whose entries all collide. */
static inline uint64_t bc_hash_step(uint64_t hash, uint64_t word) {
    __uint128_t product =
        (__uint128_t)(hash ^ UINT64_C(0xA0761D6478BD642F)) * (word ^ UINT64_C(0xE7037ED1A0B428DB));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
static inline uint64_t bc_hash_seed(const void *address) {
    return bc_hash_step((uintptr_t)address, UINT64_C(0x8EBC6AF09C88C6E3));
}
uint64_t bc_hash_bytes(uint64_t seed, const void *bytes, size_t n);

/* ---- modules ---- */

static inline bool bc_stop_asked(const bc_stop *stop) {
    return stop && atomic_load_explicit(stop, memory_order_relaxed);
}
static inline const bc_stop *bc_config_stop(const struct bc_config *config) {
    return config ? config->stop : NULL;
}
static inline bc_features bc_config_features(const struct bc_config *config) {
    return config && config->features ? config->features : BC_FEATURES_DEFAULT;
}

/* Behind the runs of a function stand their running sums, which make the look-up of a local logarithmic. */
static inline const uint32_t *bc_run_ends(const struct bc_func *f) {
    return (const uint32_t *)(const void *)(f->local_runs + f->n_local_runs);
}
/* Type of the local `index`, parameters not counted; BC_BOTTOM where there is none. */
bc_valtype bc_run_type(const struct bc_func *f, uint32_t index);

#endif
