/* cli/hash.h: what the files hash*.c share. */
#ifndef ATOLL_CLI_HASH_H
#define ATOLL_CLI_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cli/saved.h"

enum { HASH_LANES = 4, HASH_PARAM_BYTES = 64 };
/* Whether this CPU can do the next. */
bool hash_has_lanes(void);
/* BLAKE2b digests of 32 bytes, of messages of n_bytes each: a multiple of 128, not 0. params: a parameter block each
 * (RFC 7693, section "Parameter Block"; of trees: "BLAKE2: simpler, smaller, fast as MD5"); none is the last of
 * its level. */
void hash_in_lanes(const uint8_t params[HASH_LANES][HASH_PARAM_BYTES],
                   const uint8_t *const messages[HASH_LANES], size_t n_bytes, uint8_t *const out[HASH_LANES]);

#endif
