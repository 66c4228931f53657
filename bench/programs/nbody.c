/* Five bodies under gravity: scalar doubles, square root and division. */
#include <math.h>
#include "bench.h"

struct body {
    double x[3], v[3], mass;
};
static struct body bodies[5] = {
    {{0, 0, 0}, {0, 0, 0}, 39.47},
    {{4.84, -1.16, -0.10}, {0.606, 2.81, -0.02}, 0.037},
    {{8.34, 4.12, -0.40}, {-1.01, 1.81, 0.008}, 0.011},
    {{12.89, -15.11, -0.22}, {1.08, 0.868, -0.010}, 0.0017},
    {{15.37, -25.9, 0.179}, {0.979, 0.594, -0.034}, 0.0020},
};

static void step(double dt) {
    for (int i = 0; i < 5; i++)
        for (int j = i + 1; j < 5; j++) {
            struct body *a = &bodies[i], *b = &bodies[j];
            double d[3], squared = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = a->x[k] - b->x[k];
                squared += d[k] * d[k];
            }
            double pull = dt / (squared * sqrt(squared));
            for (int k = 0; k < 3; k++) {
                a->v[k] -= d[k] * b->mass * pull;
                b->v[k] += d[k] * a->mass * pull;
            }
        }
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

int main(int argc, char **argv) {
    double sum = 0;
    for (long n = bench_size(argc, argv, 5400000); n > 0; n--) step(0.001);
    for (int i = 0; i < 5; i++) sum += bodies[i].x[0] + bodies[i].v[1];
    return bench_done(bench_digits(sum));
}
