/* Computation: a glider of Conway's game of life wanders over a torus. */
#include <stdio.h>
#include <string.h>

enum { ROWS = 8, COLUMNS = 16, GENERATIONS = 20 };
typedef unsigned char grid[ROWS][COLUMNS];

static int neighbours(grid now, int row, int column) {
    int n = -now[row][column];
    for (int i = ROWS - 1; i <= ROWS + 1; i++)
        for (int j = COLUMNS - 1; j <= COLUMNS + 1; j++) n += now[(row + i) % ROWS][(column + j) % COLUMNS];
    return n;
}

static void step(grid now) {
    grid next;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++) {
            int n = neighbours(now, i, j);
            next[i][j] = n == 3 || (n == 2 && now[i][j]);
        }
    memcpy(now, next, sizeof next);
}

int main(void) {
    grid now = {{0, 1, 0}, {0, 0, 1}, {1, 1, 1}};
    for (int i = 0; i < GENERATIONS; i++) step(now);
    printf("after %d generations:\n", GENERATIONS);
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLUMNS; j++) putchar(now[i][j] ? '#' : '.');
        putchar('\n');
    }
    return 0;
}
