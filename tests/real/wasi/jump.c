/* tests/real/wasi/jump.c: the run time of setjmp as clang 14 compiles it. Each function with a setjmp has a
 * table of the calls it made: number of the call -> where it returns to. A longjmp throws the buffer's
 * address; the function that finds the buffer's number in its table is the one to go on. */
#include <stdint.h>
#include <stdlib.h>

struct entry {
    uintptr_t call; /* 0 ends the table */
    uint32_t label;
};

static uint32_t second_result, last_call;

uint32_t getTempRet0(void) { return second_result; }

/* Returns the table, which may have moved; its size is the second result. */
struct entry *saveSetjmp(uintptr_t *point, uint32_t label, struct entry *table, uint32_t size) {
    uint32_t i = 0;
    while (i < size && table[i].call) i++;
    if (i + 1 >= size) {
        size = 2 * size + 2;
        table = realloc(table, (size + 1) * sizeof *table);
        if (!table) abort();
    }
    *point = ++last_call;
    table[i] = (struct entry){last_call, label};
    table[i + 1].call = 0;
    second_result = size;
    return table;
}

uint32_t testSetjmp(uintptr_t call, struct entry *table, uint32_t size) {
    for (uint32_t i = 0; i < size && table[i].call; i++)
        if (table[i].call == call) return table[i].label;
    return 0;
}

_Noreturn void __wasm_longjmp(void *point, int value) {
    static struct {
        void *point;
        int value;
    } thrown;
    thrown.point = point;
    thrown.value = value ? value : 1;
    __builtin_wasm_throw(1, &thrown); /* tag 1: __c_longjmp */
}
