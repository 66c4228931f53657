/* tests/real/wasi/setjmp.h: setjmp for WASI, whose C library has none. clang turns both calls into exceptions
 * (-mllvm -wasm-enable-sjlj), and jump.c is what its code asks for. */
#ifndef ATOLL_TESTS_SETJMP_H
#define ATOLL_TESTS_SETJMP_H

typedef unsigned long jmp_buf[6];
int setjmp(jmp_buf point) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf point, int value);
#define setjmp(point) setjmp(point)

#endif
