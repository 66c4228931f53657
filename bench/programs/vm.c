/* An interpreter inside the program: a switch in a loop, as Lua and Python have it. */
#include "bench.h"

enum { LOAD, ADD, SUB, MUL, AND, XOR, SHR, LESS, JUMP_IF, JUMP, GET, PUT, STOP };
struct code {
    uint8_t op, a, b, c;
    int32_t k;
};

/* r0 counter, r1 limit, r2 hash, r3.. scratch */
static const struct code program[] = {
    {LOAD, 0, 0, 0, 0}, {LOAD, 2, 0, 0, 0x1234567}, {LESS, 4, 0, 1, 0}, {JUMP_IF, 4, 0, 0, 5},
    {STOP, 0, 0, 0, 0}, {LOAD, 5, 0, 0, 31},        {MUL, 2, 2, 5, 0},  {ADD, 2, 2, 0, 0},
    {LOAD, 5, 0, 0, 7}, {SHR, 6, 2, 5, 0},          {XOR, 2, 2, 6, 0},  {LOAD, 5, 0, 0, 255},
    {AND, 6, 2, 5, 0},  {GET, 7, 6, 0, 0},          {ADD, 7, 7, 0, 0},  {PUT, 7, 6, 0, 0},
    {SUB, 2, 2, 7, 0},  {LOAD, 5, 0, 0, 1},         {ADD, 0, 0, 5, 0},  {JUMP, 0, 0, 0, 2},
};

int main(int argc, char **argv) {
    static uint32_t memory[256];
    uint32_t r[8] = {0};
    const struct code *pc = program;
    uint64_t sum = 0;
    r[1] = (uint32_t)bench_size(argc, argv, 16000000);
    for (;;) {
        const struct code *i = pc++;
        switch (i->op) {
        case LOAD: r[i->a] = (uint32_t)i->k; break;
        case ADD: r[i->a] = r[i->b] + r[i->c]; break;
        case SUB: r[i->a] = r[i->b] - r[i->c]; break;
        case MUL: r[i->a] = r[i->b] * r[i->c]; break;
        case AND: r[i->a] = r[i->b] & r[i->c]; break;
        case XOR: r[i->a] = r[i->b] ^ r[i->c]; break;
        case SHR: r[i->a] = r[i->b] >> (r[i->c] & 31); break;
        case LESS: r[i->a] = r[i->b] < r[i->c]; break;
        case JUMP_IF:
            if (r[i->a]) pc = program + i->k;
            break;
        case JUMP: pc = program + i->k; break;
        case GET: r[i->a] = memory[r[i->b] & 255]; break;
        case PUT: memory[r[i->b] & 255] = r[i->a]; break;
        case STOP:
            for (int k = 0; k < 256; k++) sum = sum * 31 + memory[k];
            return bench_done(sum ^ r[2]);
        }
    }
}
