/* cli/nearest.c: which word was probably meant. */
#include <string.h>
#include "cli/cli.h"

enum { WORD_MAX = 32 };

/* Edits (insert, delete, replace, swap of neighbours) from a to b, both at most WORD_MAX bytes. */
static unsigned distance(const char *a, const char *b) {
    size_t n_a = strlen(a), n_b = strlen(b);
    unsigned rows[3][WORD_MAX + 1];
    unsigned *older = rows[0], *old = rows[1], *now = rows[2];
    for (unsigned j = 0; j <= n_b; j++) old[j] = j;
    for (unsigned i = 1; i <= n_a; i++) {
        now[0] = i;
        for (unsigned j = 1; j <= n_b; j++) {
            unsigned best = old[j - 1] + (a[i - 1] != b[j - 1]);
            if (old[j] + 1 < best) best = old[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && older[j - 2] + 1 < best)
                best = older[j - 2] + 1;
            now[j] = best;
        }
        unsigned *free_row = older;
        older = old, old = now, now = free_row;
    }
    return old[n_b];
}

const char *cli_nearest(const char *word, const char *const *words) {
    size_t size = strlen(word);
    if (size > WORD_MAX) return NULL;
    const char *best = NULL;
    unsigned best_edits = size < 4 ? 2 : size < 8 ? 3 : 4; /* one more than what counts as a slip */
    for (; *words; words++) {
        unsigned edits = strlen(*words) <= WORD_MAX ? distance(word, *words) : WORD_MAX;
        if (edits < best_edits) best = *words, best_edits = edits;
    }
    return best;
}
