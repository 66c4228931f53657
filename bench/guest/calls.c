/* bench/guest/calls.c: programs of many small calls, and two more kinds of interpreters: one that jumps from
 * instruction to instruction through their addresses, one that walks trees. */
#include "guest.h"

/* Functions with a context, in a list, each of which calls the next. */
struct closure {
    uint64_t (*run)(const struct closure *, uint64_t);
    const struct closure *next;
    uint64_t captured;
};
static uint64_t pass_on(const struct closure *c, uint64_t x) {
    return c->next ? c->next->run(c->next, x) : x;
}
__attribute__((noinline)) static uint64_t add(const struct closure *c, uint64_t x) {
    return pass_on(c, x + c->captured) + 1;
}
__attribute__((noinline)) static uint64_t mix(const struct closure *c, uint64_t x) {
    return pass_on(c, (x ^ c->captured) * 0x9E3779B97F4A7C15u) ^ c->captured;
}
__attribute__((noinline)) static uint64_t turn(const struct closure *c, uint64_t x) {
    return pass_on(c, x << 9 | x >> 55) - c->captured;
}

int bench_closures(int argc, char **argv) {
    static uint64_t (*const kinds[])(const struct closure *, uint64_t) = {add, mix, turn};
    struct closure chain[16];
    uint64_t seed = 21, sum = 0;
    for (int i = 0; i < 16; i++)
        chain[i] = (struct closure){kinds[bench_random(&seed) % 3], i < 15 ? &chain[i + 1] : NULL, seed};
    for (long i = bench_size(argc, argv, 3000000); i > 0; i--) {
        const struct closure *first = &chain[i & 15];
        sum += first->run(first, sum ^ (uint64_t)i);
    }
    return bench_done(sum);
}

/* A stack machine: each instruction jumps to the next one's code. */
int bench_threaded(int argc, char **argv) {
    enum { PUSH, GET, SET, ADD, MUL, XOR, SHIFT, LESS, BRANCH, END };
    static const int source[] = {
        GET, 0, PUSH, 1103515245, MUL,  PUSH,   12345, ADD, SET, 0, /* seed = seed * .. + .. */
        GET, 1, GET,  0,          PUSH, 16,     SHIFT, XOR, SET, 1, /* sum ^= seed >> 16 */
        GET, 2, PUSH, 1,          ADD,  SET,    2,                  /* i++ */
        GET, 2, GET,  3,          LESS, BRANCH, 0,     END,
    };
    static void *const codes[] = {&&push, &&get,   &&set,  &&add_,   &&mul,
                                  &&xor_, &&shift, &&less, &&branch, &&end};
    static const unsigned char has_operand[] = {1, 1, 1, 0, 0, 0, 0, 0, 1, 0};
    enum { N = sizeof source / sizeof *source };
    intptr_t code[N];
    for (int i = 0; i < N; i++) {
        code[i] = (intptr_t)codes[source[i]];
        if (has_operand[source[i]]) {
            i++;
            code[i] = source[i];
        }
    }
    uint64_t stack[16], locals[4] = {1, 0, 0, (uint64_t)bench_size(argc, argv, 2000000)}, *top = stack;
    const intptr_t *pc = code;
#define NEXT goto *(void *)*pc++
    NEXT;
push:
    *top++ = (uint64_t)*pc++;
    NEXT;
get:
    *top++ = locals[*pc++];
    NEXT;
set:
    locals[*pc++] = *--top;
    NEXT;
add_:
    top--;
    top[-1] += *top;
    NEXT;
mul:
    top--;
    top[-1] *= *top;
    NEXT;
xor_:
    top--;
    top[-1] ^= *top;
    NEXT;
shift:
    top--;
    top[-1] >>= *top & 63;
    NEXT;
less:
    top--;
    top[-1] = top[-1] < *top;
    NEXT;
branch:
    pc = *--top ? code + *pc : pc + 1;
    NEXT;
#undef NEXT
end:
    return bench_done(locals[1] ^ locals[0]);
}

/* An expression as a tree, evaluated by recursion. */
struct node {
    enum { NUMBER, VARIABLE, SUM, PRODUCT, CHOICE } kind;
    uint64_t value;
    const struct node *a, *b;
};

static const struct node *grow(struct node *pool, int *n, int depth, uint64_t *seed) {
    struct node *node = &pool[(*n)++];
    uint64_t r = bench_random(seed) >> 32;
    *node = (struct node){.kind = depth ? SUM + r % 3 : r % 2, .value = r >> 8};
    if (depth) {
        node->a = grow(pool, n, depth - 1, seed);
        node->b = grow(pool, n, depth - 1, seed);
    }
    return node;
}

static uint64_t evaluate(const struct node *node, uint64_t x) {
    switch (node->kind) {
    case NUMBER: return node->value;
    case VARIABLE: return x;
    case SUM: return evaluate(node->a, x) + evaluate(node->b, x);
    case PRODUCT: return evaluate(node->a, x) * evaluate(node->b, x + 1);
    default: return evaluate((x ^ node->value) & 1 ? node->a : node->b, x ^ node->value);
    }
}

int bench_tree(int argc, char **argv) {
    static struct node pool[256];
    int n = 0;
    uint64_t seed = 33, sum = 0;
    const struct node *root = grow(pool, &n, 6, &seed);
    for (long i = bench_size(argc, argv, 400000); i > 0; i--) sum += evaluate(root, sum ^ (uint64_t)i);
    return bench_done(sum);
}
