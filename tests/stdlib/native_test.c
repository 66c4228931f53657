/* tests/stdlib/native_test.c: every kind of parameter of a native library, and guests that misuse it: a trap
 * with a message, never a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "interp/interp.h"
#include "stdlib/stdlib.h"

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

struct host {
    struct rt_engine *engine;
    struct rt_store *store;
    struct sandbox *sandbox;
    struct native *native;
    struct rt_instance *instance;
    struct atoll_error err;
};

static void open_store(struct host *h) {
    struct rt_config config = {.tier = &interp_tier};
    assert_int_equal(rt_engine_new(&config, &h->engine, &h->err), 0);
    assert_int_equal(rt_store_new(h->engine, &(struct rt_limits){0}, &h->store, &h->err), 0);
    assert_int_equal(sb_new(&(struct sb_config){0}, &h->sandbox, &h->err), 0);
}

static void close_store(struct host *h) {
    native_free(h->native);
    rt_store_free(h->store);
    rt_engine_unref(h->engine);
    sb_free(h->sandbox);
}

/* In a shared memory, where buffers are copied, everything is to look the same. */
static char *guest_with(const char *memory) {
    static const char plain[] = "(memory (export \"m\") 1)";
    static char text[sizeof guest + 40];
    const char *at = strstr(guest, plain);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - guest), guest, memory, at + strlen(plain));
    return text;
}

static int open_guest(void **state) {
    static struct host host;
    host = (struct host){0};
    bool shared = *state != NULL;
    struct host *h = *state = &host;
    open_store(h);
    if (native_new(h->store, h->sandbox, NULL, prototypes, strlen(prototypes), &h->native, &h->err))
        fail_msg("%s", h->err.text);
    struct rt_module *module;
    const char *text =
        guest_with(shared ? "(memory (export \"m\") 1 100 shared)" : "(memory (export \"m\") 1)");
    if (rt_module_load(h->engine, (const uint8_t *)text, strlen(text), false, "guest", &module, &h->err) ||
        rt_instantiate(h->store, module, native_resolve, h->native, &h->instance, &h->err))
        fail_msg("%s", h->err.text);
    rt_module_unref(module);
    return 0;
}

static int close_guest(void **state) {
    close_store(*state);
    return 0;
}

static enum atoll_status call(struct host *h, const char *name, uint32_t a, uint32_t b, uint32_t *out) {
    struct rt_extern found;
    union rt_slot slots[4] = {{.u64 = a}, {.u64 = b}};
    assert_true(rt_instance_export(h->instance, name, strlen(name), &found));
    enum atoll_status status = rt_call(h->store, found.func, slots, &h->err);
    *out = slots[0].u32;
    return status;
}

static void gives(struct host *h, const char *name, uint32_t a, uint32_t b, uint32_t expected) {
    uint32_t got;
    if (call(h, name, a, b, &got)) fail_msg("%s: %s %s", name, h->err.text, h->store->trap_text);
    assert_int_equal(got, expected);
}

static void traps(struct host *h, const char *name, uint32_t a, uint32_t b, const char *text) {
    uint32_t got;
    assert_int_equal(call(h, name, a, b, &got), ATOLL_E_TRAP);
    if (!strstr(h->store->trap_text, text)) fail_msg("%s: %s", name, h->store->trap_text);
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
    uint32_t got;
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
    };
    (void)state;
    struct host h = {0};
    open_store(&h);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_not_equal(
            native_new(h.store, h.sandbox, NULL, rows[i].text, strlen(rows[i].text), &h.native, &h.err), 0);
        if (!strstr(h.err.text, rows[i].message)) fail_msg("%s: %s", rows[i].text, h.err.text);
    }
    close_store(&h);
}

int main(void) {
#define GUEST(test)                                                                                          \
    cmocka_unit_test_setup_teardown(test, open_guest, close_guest), {                                        \
#test " (shared memory)", test, open_guest, close_guest, (void *)(uintptr_t)1                        \
    }
    const struct CMUnitTest tests[] = {
        GUEST(values_cross_and_are_checked),           GUEST(buffers_and_strings_stay_inside),
        GUEST(handles_are_checked_at_each_use),        GUEST(callbacks_nest_trap_and_expire),
        GUEST(a_buffer_survives_growth_in_a_callback), cmocka_unit_test(broken_files_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
