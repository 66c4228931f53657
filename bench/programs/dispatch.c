/* Objects with a table of functions, run by a scheduler: indirect calls that vary. */
#include "bench.h"

struct task;
struct task_kind {
    uint32_t (*run)(struct task *);
    uint32_t (*cost)(const struct task *);
};
struct task {
    const struct task_kind *kind;
    uint32_t state, ticks;
};
static uint32_t run_add(struct task *t) { return t->state += 0x9E3779B9u; }
static uint32_t run_rotate(struct task *t) { return t->state = t->state << 7 | t->state >> 25; }
static uint32_t run_mix(struct task *t) { return t->state = (t->state ^ t->state >> 15) * 0x85EBCA6Bu; }
static uint32_t run_count(struct task *t) { return t->state += ++t->ticks; }
static uint32_t cost_one(const struct task *t) { return 1 + (t->state & 1); }
static uint32_t cost_some(const struct task *t) { return 1 + (t->state >> 3 & 3); }
static const struct task_kind kinds[] = {
    {run_add, cost_one}, {run_rotate, cost_some}, {run_mix, cost_one}, {run_count, cost_some}};

int main(int argc, char **argv) {
    enum { N = 64 };
    struct task tasks[N];
    uint64_t budget = (uint64_t)bench_size(argc, argv, 80000000), sum = 0;
    uint64_t seed = 5;
    for (int i = 0; i < N; i++)
        tasks[i] = (struct task){&kinds[bench_random(&seed) >> 33 & 3], (uint32_t)i, 0};
    for (uint32_t i = 0; budget < (uint64_t)1 << 62; i++) {
        struct task *t = &tasks[(i ^ i >> 3) % N];
        sum += t->kind->run(t);
        budget -= t->kind->cost(t);
    }
    return bench_done(sum);
}
