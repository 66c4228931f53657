/* jit/saved.h: what save.c writes and restore.c reads. */
#ifndef ATOLL_JIT_SAVED_H
#define ATOLL_JIT_SAVED_H

#include "jit/engine.h"

/* Of a function, in the head; by `own`, and so by `at`. */
struct jit_saved_entry {
    uint32_t own;         /* function, from the module's first of its own */
    uint32_t at, n_bytes; /* in the body */
    uint32_t code_bytes;  /* the last of them; 0: it was declined */
};
/* What code depends on in its module, and in the configuration. */
enum {
    JIT_SAVED_FUEL,
    JIT_SAVED_RELAXED,
    JIT_SAVED_CHECKED,
    JIT_SAVED_LAYOUT,
    JIT_SAVED_WORDS = JIT_SAVED_LAYOUT + 8
};
void jit_saved_words(const struct rt_module *module, uint32_t words[JIT_SAVED_WORDS]);
/* What a function's bytes begin with: bytes of its frame, where that begins, where its instance is kept, places,
 * relocations, landings, registers kept, inlined calls, slow instructions. */
#define JIT_SAVED_COUNTS 9
/* A relocation's second word is its target, with its kind above. */
#define JIT_SAVED_KIND_SHIFT 28
#define JIT_SAVED_MAX_TARGET (1u << JIT_SAVED_KIND_SHIFT)

/* Copies the bytes of a function whose code waits for its first call; false: they cannot be read, and *body is as
 * it was. The caller holds the module's lock. */
bool jit_saved_copy(const struct rt_module *module, uint32_t own, struct bc_buf *body,
                    struct jit_saved_entry *entry);

#endif
