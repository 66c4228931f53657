/* bench/guest/guest.h: a program that is measured in a guest: as main() of bench/programs, in one binary with the
 * others. */
#ifndef GUEST_H
#define GUEST_H

#include "../programs/bench.h"

#define PROGRAM(name, group, size) int bench_##name(int argc, char **argv);
#include "programs.def"
#undef PROGRAM

/* Of bytes: the same for the same bytes. */
static inline uint64_t guest_hash(const void *bytes, size_t n_bytes) {
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < n_bytes; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return hash;
}

#endif
