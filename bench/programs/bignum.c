/* Factorials and their squares with 32-bit limbs: multiply, carry, long arithmetic. */
#include "bench.h"

#define LIMBS 40000
static uint32_t number[LIMBS], square[2 * LIMBS];

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 35000);
    size_t used = 1;
    uint64_t hash = 0;
    number[0] = 1;
    for (long k = 2; k <= n; k++) {
        uint64_t carry = 0;
        for (size_t i = 0; i < used; i++) {
            carry += (uint64_t)number[i] * (uint64_t)k;
            number[i] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry) number[used++] = (uint32_t)carry;
    }
    for (size_t i = 0; i < used; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < used; j++) {
            carry += (uint64_t)number[i] * number[j] + square[i + j];
            square[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        square[i + used] = (uint32_t)carry;
    }
    for (size_t i = 0; i < 2 * used; i++) hash = hash * 1000003 + square[i];
    return bench_done(hash);
}
