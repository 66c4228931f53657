/* tests/jit/checked_test.c: where no guard pages can be had for memory 0, its accesses are compiled with checks: they give
 * the same values and the same traps. */
#include <sys/resource.h>
#include "tests/jit/pair.h"

#define ALL_LOADS                                                                                            \
    "(i64.add (i64.load8_s offset=3 (local.get 0)) (i64.add (i64.load16_u offset=1 (local.get 0))"           \
    " (i64.add (i64.load32_s (local.get 0)) (i64.load (local.get 0)))))"
static const char program[] =
    "(module (memory 1 4) (data (i32.const 65520) "
    "\"\\80\\81\\82\\83\\84\\85\\86\\87\\88\\89\\8a\\8b\\8c\\8d\\8e\\8f\")"
    " (func (export \"load\") (param i32 i64) (result i64) " ALL_LOADS ")"
    " (func (export \"far\") (param i32 i64) (result i64) (i64.load offset=0xFFFFFFFF (local.get 0)))"
    " (func (export \"vector\") (param i32 i64) (result i64) (i64x2.extract_lane 1 (v128.load (local.get "
    "0))))"
    " (func (export \"float\") (param i32 i64) (result i64) (i64.reinterpret_f64 (f64.load (local.get 0))))"
    " (func (export \"store\") (param i32 i64) (result i64) (i32.store8 (local.get 0) (i32.const 7))"
    "   (i64.store offset=8 (local.get 0) (local.get 1)) (i64.load offset=5 (local.get 0)))"
    " (func (export \"fixed\") (param i32 i64) (result i64) (i64.store (i32.const 65528) (local.get 1))"
    "   (i64.load (i32.const 65526)))"
    " (func (export \"beyond\") (param i32 i64) (result i64) (i64.load (i32.const 65529)))"
    " (func (export \"atomic\") (param i32 i64) (result i64) (i64.atomic.rmw.add offset=8 (local.get 0) "
    "(local.get 1)))"
    " (func (export \"swap\") (param i32 i64) (result i64)"
    "   (i64.extend_i32_u (i32.atomic.rmw8.cmpxchg_u (local.get 0) (i32.const 7) (i32.wrap_i64 (local.get "
    "1)))))"
    " (func (export \"fill\") (param i32 i64) (result i64)"
    "   (memory.fill (local.get 0) (i32.const 9) (i32.const 16)) (i64.load (local.get 0)))"
    /* a loop whose base and size are kept; and one that grows what it walks through */
    " (func (export \"sum\") (param i32 i64) (result i64) (local i64)"
    "   (loop (local.set 2 (i64.add (local.get 2) (i64.load (local.get 0))))"
    "     (local.set 0 (i32.add (local.get 0) (i32.const 8)))"
    "     (br_if 0 (i64.ne (local.tee 1 (i64.sub (local.get 1) (i64.const 1))) (i64.const 0)))) (local.get "
    "2))"
    " (func (export \"grow\") (param i32 i64) (result i64)"
    "   (loop (i64.store (local.get 0) (local.get 1)) (local.set 0 (i32.add (local.get 0) (i32.const 1024)))"
    "     (if (i32.eqz (i32.and (local.get 0) (i32.const 65535))) (then (drop (memory.grow (i32.const 1)))))"
    "     (br_if 0 (i64.ne (local.tee 1 (i64.sub (local.get 1) (i64.const 1))) (i64.const 0))))"
    "   (i64.load (i32.sub (local.get 0) (i32.const 1024)))))";
static const char *const names[] = {"load",   "far",    "vector", "float", "store", "fixed",
                                    "beyond", "atomic", "swap",   "fill",  "sum"};
static const uint32_t addresses[] = {0,     1,      8,          65504,      65512,      65519,     65520,
                                     65521, 65527,  65528,      65529,      65532,      65535,     65536,
                                     65544, 131072, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF};

/* Addresses of the process are limited to what it has and this much more; what it was before is returned. */
static struct rlimit limit_addresses(uint64_t more) {
    struct rlimit before, now;
    uint64_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%" SCNu64, &pages), 1);
    fclose(f);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    now = before;
    now.rlim_cur = pages * 4096 + more;
    assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
    return before;
}

static bool guarded(const struct pair *p, int tier) { return p->instances[tier]->memories[0]->guarded; }

static void accesses_with_checks_do_the_same(void **state) {
    struct pair plain, checked;
    (void)state;
    open_pair(&plain, program, NULL);
    struct rlimit before = limit_addresses(UINT64_C(5) << 30);
    open_pair(&checked, program, NULL);
    setrlimit(RLIMIT_AS, &before);
    for (int i = 0; i < TIERS; i++) assert_true(guarded(&plain, i) && !guarded(&checked, i));
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        assert_true(compiled(&checked, names[n]));
        for (size_t a = 0; a < sizeof addresses / sizeof *addresses; a++)
            for (uint64_t y = 1; y < 40; y += 9) {
                assert_int_equal(same(&plain, names[n], addresses[a], y),
                                 same(&checked, names[n], addresses[a], y));
                assert_string_equal(plain.worlds[0].err.text, checked.worlds[0].err.text);
            }
    }
    assert_int_equal(same(&plain, "sum", 0, 8191), same(&checked, "sum", 0, 8191));
    assert_int_equal(same(&plain, "grow", 0, 250), same(&checked, "grow", 0, 250));
    assert_int_equal(same(&plain, "grow", 0, 260),
                     same(&checked, "grow", 0, 260)); /* past the largest size */
    close_pair(&checked);
    close_pair(&plain);
}

/* Code is the module's: with checks it serves both kinds of memory, without them one, and the other is interpreted. */
static void instances_of_both_kinds_share_a_module(void **state) {
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct world w;
        struct rt_instance *instances[2];
        open_world(&w, &(struct rt_config){.tier = &jit_tier}, NULL);
        struct rt_module *module = load(&w, program);
        for (int i = 0; i < 2; i++) {
            bool without = i == first;
            struct rlimit before;
            if (without) before = limit_addresses(UINT64_C(1) << 30);
            assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instances[i], &w.err), ATOLL_OK);
            if (without) setrlimit(RLIMIT_AS, &before);
            assert_int_equal(instances[i]->memories[0]->guarded, !without);
        }
        for (int i = 0; i < 2; i++) {
            uint64_t result;
            assert_int_equal(call(&w, instances[i], "fixed", 0, UINT64_C(0x1122334455667788)),
                             UINT64_C(0x3344556677888786));
            assert_int_equal(try_call(&w, instances[i], "load", 65533, 0, 0, &result), ATOLL_E_TRAP);
            assert_int_equal(try_call(&w, instances[i], "far", UINT32_MAX, 0, 0, &result), ATOLL_E_TRAP);
        }
        rt_module_unref(module);
        close_world(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accesses_with_checks_do_the_same),
        cmocka_unit_test(instances_of_both_kinds_share_a_module),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
