/* tests/stdlib/native_library.c: the shared library native_test.c calls; each kind of parameter once. */
#include <errno.h>
#include <pthread.h>
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

/* Trees own their leaves; a tree with leaves is busy and lives on. */
struct tree {
    struct tree *next;
    struct leaf *leaves;
};
struct leaf {
    struct tree *tree;
    struct leaf *before, *after;
    int value;
};
static struct tree *trees; /* all, for those that a guest forgets */
API struct tree *tree_new(void) {
    struct tree *t = calloc(1, sizeof *t);
    t->next = trees;
    return trees = t;
}
API struct leaf *leaf_new(struct tree *t, int value) {
    struct leaf *l = malloc(sizeof *l);
    *l = (struct leaf){t, NULL, t->leaves, value};
    if (t->leaves) t->leaves->before = l;
    return t->leaves = l;
}
API int leaf_out(struct tree *t, struct leaf **out) {
    *out = leaf_new(t, 9);
    return 0;
}
API int leaf_value(struct leaf *l) { return l->value; }
API struct leaf *leaf_below(struct leaf *l) { return leaf_new(l->tree, l->value + 1); }
API void leaf_free(struct leaf *l) {
    *(l->before ? &l->before->after : &l->tree->leaves) = l->after;
    if (l->after) l->after->before = l->before;
    free(l);
}
API int tree_drop(struct tree *t) {
    struct tree **at = &trees;
    while (t->leaves) leaf_free(t->leaves);
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    free(t);
    return 0;
}
API int tree_close(struct tree *t) { return t->leaves ? 5 : tree_drop(t); }
static __attribute__((destructor)) void forget(void) {
    while (trees) tree_drop(trees);
}
API int leaf_each(struct leaf *l, int (*f)(int, void *), void *data) { return f(l->value, data); }

API void keep(int (*f)(int, void *)) { kept = f; }
struct job {
    int (*f)(int, void *);
    int result;
};
static void *run_job(void *p) {
    struct job *j = p;
    j->result = j->f(3, NULL);
    return NULL;
}
/* On a thread of its own, while the program waits here. */
API int on_thread(int (*f)(int, void *), void *data) {
    struct job j = {f, -1};
    pthread_t thread;
    (void)data;
    if (pthread_create(&thread, NULL, run_job, &j)) return -2;
    pthread_join(thread, NULL);
    return j.result;
}
API int is_null(void *p, int (*f)(int, void *)) { return p == NULL && f == NULL; }

struct one {
    long only;
};
API struct one one_twice(struct one o) { return (struct one){o.only * 2}; }
struct inner {
    short a;
    long b;
};
struct outer {
    char c;
    struct inner in[2];
    int tail[3];
    double d;
};
API double outer_sum(struct outer o) {
    return o.c + o.in[0].a + (double)o.in[0].b + o.in[1].a + (double)o.in[1].b + o.tail[0] + o.tail[1] +
           o.tail[2] + o.d;
}
API void outer_bump(struct outer *o) { o->c++, o->in[0].b++, o->in[1].a++, o->tail[2]++, o->d++; }
API struct outer outer_make(int i) { return (struct outer){(char)i, {{1, 2}, {3, 4}}, {5, 6, 7}, 8.5}; }
struct point {
    int x, y;
};
API int points_sum(const struct point *p, size_t n) {
    int sum = 0;
    for (size_t i = 0; i < n; i++) sum += p[i].x * p[i].y;
    return sum;
}
API long add_long(long a, size_t b) { return a + (long)b; }
API int fill_rows(unsigned char *to, int rows, long *width) {
    memset(to, 5, (size_t)rows * (size_t)*width);
    return 1;
}
