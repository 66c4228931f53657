/* tests/stdlib/native_layout_test.c: structs in structs, arrays, structs of one member, lengths, and the same
 * library under a 64-bit memory. */
#include "tests/stdlib/native_host.h"

#define LAYOUTS                                                                                              \
    "library \"" NATIVE_LIBRARY "\"; module \"n\"; /* every\n layout */\n"                                   \
    "struct one { long only; }; struct inner { short a; long b; }; struct point { int x; int y; };\n"        \
    "struct outer { char c; struct inner in[2]; int tail[3]; double d; };\n"                                 \
    "callback int visit(int i, void *data data);\n"                                                          \
    "struct one one_twice(struct one o); double outer_sum(struct outer o);\n"                                \
    "void outer_bump(struct outer *o inout); struct outer outer_make(int i);\n"                              \
    "int points_sum(const struct point *p in(n), size_t n); long add_long(long a, size_t b);\n"              \
    "int is_null(void *p null, visit f null); void fill(unsigned char *to out(n), size_t n);\n"              \
    "size_t length(const char *s string); int call_twice(visit f, void *data data);\n"                       \
    "const char *greeting(void); int fill_rows(unsigned char *to out(rows * *width), int rows, long *width " \
    "in);\n"

/* A is the type of an address, L of a long. The struct outer lies at 64: c 64, in[0] 68, in[1] 76, tail 84, d
 * 96 in wasm32; in wasm64 c 64, in[0] 72, in[1] 88, tail 104, d 120. */
#define GUEST(A, MEMORY, SUM_AT)                                                                             \
    "(module (import \"n\" \"one_twice\" (func $one (param " A ") (result " A ")))"                          \
    "(import \"n\" \"outer_sum\" (func $sum (param " A ") (result f64)))"                                    \
    "(import \"n\" \"outer_bump\" (func $bump (param " A ")))"                                               \
    "(import \"n\" \"outer_make\" (func $make (param " A " i32)))"                                           \
    "(import \"n\" \"points_sum\" (func $points (param " A " " A ") (result i32)))"                          \
    "(import \"n\" \"add_long\" (func $add (param " A " " A ") (result " A ")))"                             \
    "(import \"n\" \"is_null\" (func $is_null (result i32)))"                                                \
    "(import \"n\" \"fill\" (func $fill (param " A " " A ")))"                                               \
    "(import \"n\" \"length\" (func $length (param " A ") (result " A ")))"                                  \
    "(import \"n\" \"call_twice\" (func $call_twice (param funcref " A ") (result i32)))"                    \
    "(import \"n\" \"greeting\" (func $greeting (param " A " " A ") (result " A ")))"                        \
    "(import \"n\" \"fill_rows\" (func $rows (param " A " i32 " A ") (result i32)))"                         \
    "(memory (export \"m\") " MEMORY ") (elem declare func $cb)"                                             \
    "(data (" A ".const 0) \"\\02\\00\\00\\00\\03\\00\\00\\00\\04\\00\\00\\00\\05\\00\\00\\00\")"            \
    "(data (" A ".const 200) \"four\\00\")"                                                                  \
    "(func $cb (param i32 " A ") (result i32) (i32.add (local.get 0) " SUM_AT "))"                           \
    "(func (export \"one\") (param " A ") (result " A ") (call $one (local.get 0)))"                         \
    "(func (export \"outer\") (result f64) (call $make (" A ".const 64) (i32.const -1))"                     \
    "  (call $bump (" A ".const 64)) (call $sum (" A ".const 64)))"                                          \
    "(func (export \"points\") (param " A " " A ") (result i32) (call $points (local.get 0) (local.get 1)))" \
    "(func (export \"add\") (param " A " " A ") (result " A ") (call $add (local.get 0) (local.get 1)))"     \
    "(func (export \"is null\") (result i32) (call $is_null))"                                               \
    "(func (export \"fill\") (param " A " " A ") (call $fill (local.get 0) (local.get 1)))"                  \
    "(func (export \"length\") (param " A ") (result " A ") (call $length (local.get 0)))"                   \
    "(func (export \"callback\") (param " A ") (result i32) (call $call_twice (ref.func $cb) (local.get "    \
    "0)))"                                                                                                   \
    "(func (export \"greet\") (param " A ") (result " A ") (call $greeting (" A                              \
    ".const 300) (local.get 0)))"                                                                            \
    "(func (export \"rows\") (param i32 " A ") (result i32) (" A ".store (" A ".const 400) (local.get 1))"   \
    "  (call $rows (" A ".const 60000) (local.get 0) (" A ".const 400)))"                                    \
    "(func (export \"i32\") (param " A ") (result i32) (i32.load (local.get 0))))"

static uint64_t f64_bits(double d) {
    union rt_slot slot = {.f64 = d};
    return slot.u64;
}

static void layouts_are_those_of_wasm32(void **state) {
    struct host h;
    (void)state;
    open_guest(&h, LAYOUTS, GUEST("i32", "1", "(local.get 1)"));
    gives(&h, "one", (uint32_t)-21, 0, (uint32_t)-42);
    traps(&h, "one", 0x7fffffff, 0, "does not fit");
    /* made: -1, {1, 2}, {3, 4}, {5, 6, 7}, 8.5; bumped by 5 in all */
    gives(&h, "outer", 0, 0, f64_bits(-1 + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8.5 + 5));
    gives(&h, "i32", 72, 0, 3); /* in[0].b */
    gives(&h, "i32", 76, 0, 4); /* in[1].a, and padding that is zero */
    gives(&h, "i32", 92, 0, 8); /* tail[2] */
    gives(&h, "points", 0, 2, 6 + 20);
    traps(&h, "points", 65528, 2, "leaves the memory");
    traps(&h, "points", 0, 0x20000000, "leaves the memory");
    gives(&h, "is null", 0, 0, 1);
    traps(&h, "rows", (uint32_t)-1, 8, "its length is negative");
    traps(&h, "rows", 8, (uint32_t)-1, "its length is negative");
    traps(&h, "rows", 0x7fffffff, 0x7fffffff, "leaves the memory");
    gives(&h, "rows", 692, 8, 1);
    traps(&h, "rows", 693, 8, "leaves the memory");
    gives(&h, "callback", 100, 0, 1 + 2 + 200);
    close_store(&h);
}

static void layouts_are_those_of_wasm64(void **state) {
    struct host h;
    (void)state;
    open_guest(&h, LAYOUTS, GUEST("i64", "i64 1", "(i32.wrap_i64 (i64.shr_u (local.get 1) (i64.const 40)))"));
    gives(&h, "one", (uint64_t)-21, 0, (uint64_t)-42);
    gives(&h, "one", UINT64_C(1) << 40, 0, UINT64_C(1) << 41);
    gives(&h, "outer", 0, 0, f64_bits(-1 + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8.5 + 5));
    gives(&h, "i32", 80, 0, 3);
    gives(&h, "i32", 88, 0, 4);
    gives(&h, "i32", 112, 0, 8);
    gives(&h, "points", 0, 2, 6 + 20);
    gives(&h, "add", UINT64_C(1) << 60, 2, (UINT64_C(1) << 60) + 2);
    gives(&h, "length", 200, 0, 4);
    gives(&h, "greet", 6, 0, 5);
    gives(&h, "i32", 300, 0, 0x6c6c6568);
    traps(&h, "fill", UINT64_C(1) << 32, 1, "leaves the memory"); /* no address is cut to 32 bits */
    traps(&h, "fill", 0, UINT64_C(1) << 63, "leaves the memory");
    traps(&h, "fill", UINT64_MAX, 2, "leaves the memory");
    traps(&h, "length", (UINT64_C(1) << 32) + 200, 0, "outside of the memory");
    traps(&h, "rows", 0x7fffffff, UINT64_C(1) << 62, "its length overflows");
    gives(&h, "callback", UINT64_C(3) << 40, 0, 1 + 2 + 3 + 3); /* all 64 bits of data come back */
    close_store(&h);
}

/* A program without the memory that a prototype speaks of, and one whose imports have the other width. */
static void widths_do_not_mix(void **state) {
    static const char narrow[] =
        "(module (import \"n\" \"length\" (func (param i64) (result i64))) (memory 1))";
    static const char none[] =
        "(module (import \"n\" \"length\" (func $f (param i32) (result i32))) (export \"f\" (func $f)))";
    struct host h;
    struct rt_module *module;
    (void)state;
    open_guest(&h, LAYOUTS, none);
    traps(&h, "f", 0, 0, "outside of the memory");
    assert_int_equal(
        rt_module_load(h.engine, (const uint8_t *)narrow, strlen(narrow), false, "narrow", &module, &h.err),
        0);
    assert_int_equal(rt_instantiate(h.store, module, native_resolve, h.native, &h.instance, &h.err),
                     ATOLL_E_LINK);
    assert_non_null(strstr(h.err.text, "incompatible import type: n.length"));
    rt_module_unref(module);
    close_store(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_those_of_wasm32),
        cmocka_unit_test(layouts_are_those_of_wasm64),
        cmocka_unit_test(widths_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
