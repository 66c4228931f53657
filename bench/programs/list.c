/* A shuffled linked list, walked and reversed: dependent loads. */
#include "bench.h"

struct node {
    struct node *next;
    uint32_t value;
};

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 30), n = 200000;
    struct node *nodes = malloc((size_t)n * sizeof *nodes);
    uint32_t *order = malloc((size_t)n * sizeof *order);
    uint64_t seed = 3, sum = 0;
    if (!nodes || !order) return 1;
    for (long i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (long i = n - 1; i > 0; i--) {
        long j = (long)(bench_random(&seed) % (uint64_t)(i + 1));
        uint32_t t = order[i];
        order[i] = order[j], order[j] = t;
    }
    for (long i = 0; i < n; i++)
        nodes[order[i]] = (struct node){i + 1 < n ? &nodes[order[i + 1]] : NULL, order[i]};
    struct node *head = &nodes[order[0]];
    for (long r = 0; r < rounds; r++) {
        struct node *reversed = NULL;
        uint64_t position = 0;
        while (head) {
            struct node *next = head->next;
            sum += head->value ^ position++;
            head->next = reversed;
            reversed = head;
            head = next;
        }
        head = reversed;
    }
    return bench_done(sum);
}
