/* tests/stdlib/native_test.c: every kind of parameter of a native library, and guests that misuse it: a trap
 * with a message, never a crash. */
#include <errno.h>
#include "tests/stdlib/native_host.h"

static const char prototypes[] =
    "library \"" NATIVE_LIBRARY "\"; module \"n\";\n"
    "handle box; handle bag; struct pair { long a; char b; double c; };\n"
    "callback int visit(int i, void *data data);\n"
    "int narrow(signed char c); long big(int shift);\n"
    "void fill(unsigned char *to out(n), size_t n); size_t length(const char *s string);\n"
    "void twice(long *p inout); double pair_sum(struct pair p); struct pair pair_make(long a);\n"
    "void pair_bump(struct pair *p inout); box *box_new(int v); int box_get(box *p);\n"
    "void box_free(box *p destroy); bag *bag_new(void); void bag_free(bag *p destroy);\n"
    "void box_merge(box *to, box *from destroy);\n"
    "int call_twice(visit f, void *data data); int call_kept(void); int fail_with(int e) errno;\n"
    "int sum(int n, ..., int a, int b) as sum2; const char *greeting(void);\n"
    "int fill_around(visit f, unsigned char *to out(n), size_t n);\n";

static const char guest[] =
    "(module "
    "(import \"n\" \"narrow\" (func $narrow (param i32) (result i32)))"
    "(import \"n\" \"big\" (func $big (param i32) (result i32)))"
    "(import \"n\" \"fill\" (func $fill (param i32 i32)))"
    "(import \"n\" \"length\" (func $length (param i32) (result i32)))"
    "(import \"n\" \"twice\" (func $twice (param i32)))"
    "(import \"n\" \"pair_sum\" (func $pair_sum (param i32) (result f64)))"
    "(import \"n\" \"pair_make\" (func $pair_make (param i32 i32)))"
    "(import \"n\" \"pair_bump\" (func $pair_bump (param i32)))"
    "(import \"n\" \"box_new\" (func $box_new (param i32) (result externref)))"
    "(import \"n\" \"box_get\" (func $box_get (param externref) (result i32)))"
    "(import \"n\" \"box_free\" (func $box_free (param externref)))"
    "(import \"n\" \"box_merge\" (func $box_merge (param externref externref)))"
    "(import \"n\" \"bag_new\" (func $bag_new (result externref)))"
    "(import \"n\" \"bag_free\" (func $bag_free (param externref)))"
    "(import \"n\" \"call_twice\" (func $call_twice (param funcref i32) (result i32)))"
    "(import \"n\" \"call_kept\" (func $call_kept (result i32)))"
    "(import \"n\" \"fail_with\" (func $fail_with (param i32) (result i32 i32)))"
    "(import \"n\" \"sum2\" (func $sum2 (param i32 i32 i32) (result i32)))"
    "(import \"n\" \"greeting\" (func $greeting (param i32 i32) (result i32)))"
    "(import \"n\" \"fill_around\" (func $fill_around (param funcref i32 i32) (result i32)))"
    "(memory (export \"m\") 1)"
    "(elem declare func $add $bad $deep $grow $none)"
    "(func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"
    "(func $bad (param i32 i32) (result i32) unreachable)"
    "(func $none)"
    "(func $grow (param i32 i32) (result i32) (memory.grow (i32.const 10)))"
    "(func $deep (param i32 i32) (result i32)"
    "  (if (result i32) (i32.eqz (local.get 1)) (then (i32.const 1))"
    "    (else (call $call_twice (ref.func $deep) (i32.sub (local.get 1) (i32.const 1))))))"
    "(func (export \"narrow\") (param i32) (result i32) (call $narrow (local.get 0)))"
    "(func (export \"big\") (param i32) (result i32) (call $big (local.get 0)))"
    "(func (export \"fill\") (param i32 i32) (result i32) (call $fill (local.get 0) (local.get 1))"
    "  (i32.load8_u (local.get 0)))"
    "(func (export \"length\") (param i32) (result i32) (i32.store (i32.const 100) (i32.const 0x636261))"
    "  (i32.store8 (i32.const 65535) (i32.const 1)) (call $length (local.get 0)))"
    "(func (export \"twice\") (param i32) (result i32) (i32.store (i32.const 8) (local.get 0))"
    "  (call $twice (i32.const 8)) (i32.load (i32.const 8)))"
    "(func (export \"pair\") (result i32) (call $pair_make (i32.const 16) (i32.const -40))"
    "  (call $pair_bump (i32.const 16)) (i32.trunc_f64_s (call $pair_sum (i32.const 16))))"
    "(func (export \"box\") (result i32) (local $b externref) (local.set $b (call $box_new (i32.const 42)))"
    "  (call $box_get (local.get $b)) (call $box_free (local.get $b)))"
    "(func (export \"dead\") (result i32) (local $b externref) (local.set $b (call $box_new (i32.const 1)))"
    "  (call $box_free (local.get $b)) (call $box_get (local.get $b)))"
    "(func (export \"mixed\") (result i32) (local $b externref) (local.set $b (call $box_new (i32.const 1)))"
    "  (call $bag_free (local.get $b)) (i32.const 0))"
    "(func (export \"same\") (result i32) (local $b externref) (local.set $b (call $box_new (i32.const 1)))"
    "  (call $box_merge (local.get $b) (local.get $b)) (i32.const 0))"
    "(func (export \"null\") (result i32) (call $box_get (ref.null extern)))"
    "(func (export \"callback\") (result i32) (call $call_twice (ref.func $add) (i32.const 10)))"
    "(func (export \"kept\") (result i32) (call $call_kept))"
    "(func (export \"bad\") (result i32) (call $call_twice (ref.func $bad) (i32.const 0)))"
    "(func (export \"mistyped\") (result i32) (call $call_twice (ref.func $none) (i32.const 0)))"
    "(func (export \"deep\") (param i32) (result i32) (call $deep (i32.const 0) (local.get 0)))"
    "(func (export \"errno\") (result i32) (call $fail_with (i32.const 33)) i32.add)"
    "(func (export \"sum\") (result i32) (call $sum2 (i32.const 2) (i32.const 30) (i32.const 4)))"
    "(func (export \"greet\") (param i32) (result i32)"
    "  (i32.add (call $greeting (i32.const 200) (local.get 0)) (i32.load8_u (i32.const 200))))"
    "(func (export \"grow\") (result i32)"
    "  (call $fill_around (ref.func $grow) (i32.const 0) (i32.const 65536))))";

/* In a shared memory, where buffers are copied, everything is to look the same. */
static char *guest_with(const char *memory) {
    static const char plain[] = "(memory (export \"m\") 1)";
    static char text[sizeof guest + 40];
    const char *at = strstr(guest, plain);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - guest), guest, memory, at + strlen(plain));
    return text;
}

static int open_all(void **state) {
    static struct host host;
    bool shared = *state != NULL;
    open_guest(*state = &host, prototypes,
               guest_with(shared ? "(memory (export \"m\") 1 100 shared)" : "(memory (export \"m\") 1)"));
    return 0;
}

static int close_all(void **state) {
    close_store(*state);
    return 0;
}

static void values_cross_and_are_checked(void **state) {
    gives(*state, "narrow", (uint32_t)-128, 0, (uint32_t)-128);
    traps(*state, "narrow", 128, 0, "out of range");
    gives(*state, "big", 30, 0, 1u << 30);
    traps(*state, "big", 31, 0, "does not fit");
    gives(*state, "twice", (uint32_t)-7, 0, (uint32_t)-14);
    traps(*state, "twice", 0x7fffffff, 0, "does not fit");
    gives(*state, "pair", 0, 0, (uint32_t)-31); /* -39 + 3 + 4.5 */
    gives(*state, "errno", 0, 0, 32);
    gives(*state, "sum", 0, 0, 34);
}

static void buffers_and_strings_stay_inside(void **state) {
    gives(*state, "fill", 65000, 536, 7);
    traps(*state, "fill", 65000, 537, "leaves the memory");
    traps(*state, "fill", 16, 0xffffffff, "leaves the memory");
    traps(*state, "fill", 0xfffffff0, 0x20, "leaves the memory");
    gives(*state, "length", 100, 0, 3);
    traps(*state, "length", 65535, 0, "does not end");
    traps(*state, "length", 65536, 0, "outside");
    gives(*state, "greet", 6, 0, 5 + 'h');
    gives(*state, "greet", 5, 0, 5);
    traps(*state, "greet", 65500, 0, "leaves the memory");
}

static void handles_are_checked_at_each_use(void **state) {
    gives(*state, "box", 0, 0, 42);
    traps(*state, "dead", 0, 0, "was destroyed");
    traps(*state, "mixed", 0, 0, "of another type");
    traps(*state, "same", 0, 0, "given twice");
    traps(*state, "null", 0, 0, "is null");
}

static void callbacks_nest_trap_and_expire(void **state) {
    struct host *h = *state;
    uint64_t got;
    gives(h, "callback", 0, 0, 23);
    gives(h, "kept", 0, 0, 0);
    gives(h, "deep", 5, 0, 32);
    assert_int_equal(call(h, "bad", 0, 0, &got), ATOLL_E_TRAP);
    assert_int_equal(h->store->trap, RT_TRAP_UNREACHABLE);
    traps(h, "mistyped", 0, 0, "another type");
    gives(h, "callback", 0, 0, 23);
}

static void a_buffer_survives_growth_in_a_callback(void **state) { gives(*state, "grow", 0, 0, 9); }

static void broken_files_say_where(void **state) {
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"library \"x", "1:9: this string does not end"},
        {"library \"libm.so.6\";\nint f(char *p);", "2:14: say what this pointer is"},
        {"int f(foo x);", "1:7: unknown type"},
        {"int f(long *p in(4));", "differ in size"},
        {"int f(void *p in(n));", "1:18: a length is"},
        {"int f(int n, ..., float x);", "behind ..."},
        {"struct s { int *p; };", "pointers cannot cross"},
        {"struct s { int x", "expected \";\""},
        {"int f(", "expected a type"},
        {"int f(void); int f(void);", "declared twice"},
        {"int f(void);", "names no library"},
        {"library \"libm.so.6\"; int no_such(void);", "has no function no_such"},
        {"library \"libnone.so\";", "libnone.so"},
        {"library \"\";", "1:9: this string does not fit"},
        {"int f(int a,);", "1:13: expected a type"},
        {"/* a comment\nthat does not end", "1:1: this comment does not end"},
        {"/* one\ntwo */ int f(foo x);", "2:14: unknown type"},
        {"signed unsigned f(void);", "twice"},
        {"long long long f(void);", "no C type is that long"},
        {"long char f(void);", "does not go with char"},
        {"char int f(void);", "int does not go with char"},
        {"int f(char *s string in);", "do not go together"},
        {"int f(char s string);", "this annotation is for pointers"},
        {"int f(int *s string);", "a string is a char *"},
        {"int f(int *p in out);", "in, out or inout twice"},
        {"int f(int *p in x);", "unknown annotation"},
        {"int f(int **p in);", "a pointer to a pointer"},
        {"int f(void *p in);", "a void pointer needs a length"},
        {"int f(void *p in(1*2*3*4*5));", "too many factors"},
        {"int f(void *p in(*n), float *n in);", "a length is an integer parameter"},
        {"int f(void *p in(*n), int *n out);", "a length is an integer parameter"},
        {"int f(void *p in(99999999999));", "expected a number"},
        {"int f(void);\nint g(...);", "2:10: ... stands once"},
        {"int f(void x);", "a parameter cannot be of this type"},
        {"handle h; int f(h x);", "a parameter cannot be of this type"},
        {"handle h; int f(int x destroy);", "destroy is for handles"},
        {"handle h; void f(h *x destroy when 0);", "needs a function that returns an integer"},
        {"handle h; double f(h *x destroy when 0);", "needs a function that returns an integer"},
        {"handle h; int f(h *x destroy when q);", "expected a number"},
        {"handle h; int f(h *x, h **y out owner(z));", "1:39: an owner is a handle parameter"},
        {"handle h; int f(h *x destroy, h **y out owner(x));",
         "an owner is a handle parameter that lives on"},
        {"handle h; int f(h *x owner(x));", "owner is for new handles"},
        {"handle h; int f(h *x) owner(x);", "expected \";\""},
        {"int f(int x persistent);", "persistent is for callbacks"},
        {"callback int c(int *p in);", "a callback takes scalars"},
        {"callback int c(void *a data, void *b data);", "a callback takes one data pointer"},
        {"callback char *c(void);", "a callback returns a scalar or nothing"},
        {"callback void c(void *d data); int f(c *x);", "without a star"},
        {"callback void c(int i); int f(c x, void *d data);", "data is for a callback"},
        {"callback void c(void *d data); int f(c x, void *d data, void *e data);", "data is for a callback"},
        {"int f(void *p inside);", "inside is for the parameters of callbacks"},
        {"double *f(void);", "a function returns"},
        {"struct s { };", "a struct has fields"},
        {"struct s { struct s a; };", "a struct cannot hold itself"},
        {"struct s { char c[1025]; };", "1:17: this struct is too large"},
        {"struct s { char c[0]; };", "this struct is too large"},
        {"struct a { char c[1024]; }; struct b { struct a x[2]; };", "too large"},
        {"struct a { long l; }; int f(struct a *p in(3));", "differ in size"},
        {"struct a { char c[1024]; };\nlibrary \"libm.so.6\";\nint cos(struct a *a in, struct a *b in, "
         "struct a "
         "*c in, struct a *d in, struct a *e in, struct a *f in, struct a *g in, struct a *h in);",
         "3:5: the structs of cos are too large"},
        {"enum 3 f(void);", "expected a name"},
        {"int f(void) as;", "expected a name"},
    };
    (void)state;
    struct host h;
    open_store(&h);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_not_equal(
            native_new(h.store, h.sandbox, NULL, rows[i].text, strlen(rows[i].text), &h.native, &h.err), 0);
        if (!strstr(h.err.text, rows[i].message)) fail_msg("%s: %s", rows[i].text, h.err.text);
    }
    close_store(&h);
}

static bool denied;
int __real_sb_ask(struct sandbox *sb, const struct sb_request *request);
int __wrap_sb_ask(struct sandbox *sb, const struct sb_request *request);
int __wrap_sb_ask(struct sandbox *sb, const struct sb_request *request) {
    bool native = request->kind == SB_NATIVE_OPEN || request->kind == SB_NATIVE_CALL;
    return denied && native ? EPERM : __real_sb_ask(sb, request);
}

static void the_sandbox_has_the_last_word(void **state) {
    struct host *h = *state;
    struct native *more = NULL;
    gives(h, "callback", 0, 0, 23);
    denied = true;
    traps(h, "callback", 0, 0, "n.call_twice: call: the sandbox refused it");
    assert_int_equal(native_new(h->store, h->sandbox, NULL, prototypes, strlen(prototypes), &more, &h->err),
                     ATOLL_E_DENIED);
    denied = false;
    gives(h, "callback", 0, 0, 23);
}

int main(void) {
#define GUEST(test)                                                                                          \
    cmocka_unit_test_setup_teardown(test, open_all, close_all), {                                            \
#test " (shared memory)", test, open_all, close_all, (void *)(uintptr_t)1                            \
    }
    const struct CMUnitTest tests[] = {
        GUEST(values_cross_and_are_checked),           GUEST(buffers_and_strings_stay_inside),
        GUEST(handles_are_checked_at_each_use),        GUEST(callbacks_nest_trap_and_expire),
        GUEST(a_buffer_survives_growth_in_a_callback), GUEST(the_sandbox_has_the_last_word),
        cmocka_unit_test(broken_files_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
