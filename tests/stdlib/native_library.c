/* tests/stdlib/native_library.c: the shared library native_test.c calls; each kind of parameter once. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define API __attribute__((visibility("default")))

struct pair {
    long a;
    char b;
    double c;
};
API int narrow(signed char c) { return c; }
API long big(int shift) { return 1L << shift; }
API void fill(unsigned char *to, size_t n) { memset(to, 7, n); }
API size_t length(const char *s) { return strlen(s); }
API void twice(long *p) { *p *= 2; }
API double pair_sum(struct pair p) { return (double)p.a + p.b + p.c; }
API struct pair pair_make(long a) { return (struct pair){a, 2, 3.5}; }
API void pair_bump(struct pair *p) { p->a++, p->b++, p->c++; }
/* One place for all: a new box at a dead one's address is a new handle. A guest that forgets one leaks
 * nothing. */
static int the_box;
API void *box_new(int v) {
    the_box = v;
    return &the_box;
}
API int box_get(int *p) { return *p; }
API void box_free(int *p) { *p = 0; }
API void box_merge(int *to, int *from) { *to += *from; }
API void *bag_new(void) { return malloc(1); }
API void bag_free(void *p) { free(p); }
static int (*kept)(int, void *);
API int call_twice(int (*f)(int, void *), void *data) {
    kept = f;
    return f(1, data) + f(2, data);
}
API int call_kept(void) { return kept(5, NULL); }
API int fail_with(int e) {
    errno = e;
    return -1;
}
API int sum(int n, ...) {
    va_list list;
    va_start(list, n);
    int total = 0;
    while (n--) total += va_arg(list, int);
    va_end(list);
    return total;
}
API int fill_around(int (*f)(int, void *), unsigned char *to, size_t n) {
    memset(to, 1, n);
    f(1, NULL);
    memset(to, 9, n);
    return to[n - 1];
}
API const char *greeting(void) { return "hello"; }
