/* tests/interp/memory_modes_test.c: memory behind guard pages and memory whose accesses are checked give the
 * same values and the same traps. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "interp/interp.h"

/* Every width at the ends of one page, with offsets that reach behind it, wrap 32 bits, or leave 4 GiB. */
static const char program[] =
    "(module (memory 1 2) (data (i32.const 65520) "
    "\"\\80\\81\\82\\83\\84\\85\\86\\87\\88\\89\\8a\\8b\\8c\\8d\\8e\\8f\")"
    " (func (export \"load8\") (param i32) (result i64) (i64.load8_s (local.get 0)))"
    " (func (export \"load16\") (param i32) (result i64) (i64.load16_u offset=1 (local.get 0)))"
    " (func (export \"load32\") (param i32) (result i64) (i64.load32_s offset=65520 (local.get 0)))"
    " (func (export \"load64\") (param i32) (result i64) (i64.load offset=0xFFFFFFFF (local.get 0)))"
    " (func (export \"float\") (param i32) (result i64) (i64.reinterpret_f64 (f64.load (local.get 0))))"
    " (func (export \"vector\") (param i32) (result i64) (i64x2.extract_lane 1 (v128.load (local.get 0))))"
    " (func (export \"lane\") (param i32) (result i64)"
    "   (i64x2.extract_lane 0 (v128.load16_lane 1 (local.get 0) (v128.const i64x2 0 0))))"
    " (func (export \"store8\") (param i32) (result i64) (i32.store8 (local.get 0) (i32.const 7)) (i64.const "
    "1))"
    " (func (export \"store64\") (param i32) (result i64)"
    "   (i64.store offset=8 (local.get 0) (i64.const -2)) (i64.load offset=8 (local.get 0)))"
    " (func (export \"storev\") (param i32) (result i64)"
    "   (v128.store (local.get 0) (v128.const i64x2 3 4)) (i64.load offset=8 (local.get 0)))"
    " (func (export \"atomic\") (param i32) (result i64) (i64.atomic.rmw.add (local.get 0) (i64.const 1)))"
    " (func (export \"fill\") (param i32) (result i64)"
    "   (memory.fill (local.get 0) (i32.const 9) (i32.const 16)) (i64.load (local.get 0)))"
    " (func (export \"grown\") (param i32) (result i64)"
    "   (drop (memory.grow (i32.const 1))) (i64.load32_u (local.get 0))))";

static const uint32_t addresses[] = {0,          1,          65519,      65520,      65521,     65527,
                                     65528,      65529,      65532,      65533,      65534,     65535,
                                     65536,      65537,      131068,     131069,     131072,    0x7FFFFFFF,
                                     0x80000000, 0xFFFF0000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF};

struct answer {
    enum atoll_status status;
    enum rt_trap trap;
    uint64_t value;
};

/* One call in a store of its own, so that no call sees what another wrote. */
static struct answer ask(struct rt_engine *engine, struct rt_module *module, const char *name,
                         uint32_t address, bool guarded) {
    struct rt_store *store;
    struct rt_instance *instance;
    struct rt_extern found;
    union rt_slot slots[2] = {{.u64 = address}};
    assert_int_equal(rt_store_new(engine, NULL, &store, NULL), ATOLL_OK);
    assert_int_equal(rt_instantiate(store, module, NULL, NULL, &instance, NULL), ATOLL_OK);
    assert_true(instance->memories[0]->guarded);
    instance->memories[0]->guarded = guarded; /* before any code of the instance was made */
    assert_true(rt_instance_export(instance, name, strlen(name), &found));
    struct answer answer = {.status = rt_call(store, found.func, slots, NULL)};
    answer.trap = answer.status ? store->trap : RT_TRAP_NONE;
    answer.value = answer.status ? 0 : slots[0].u64;
    rt_store_free(store);
    return answer;
}

static void guarded_and_checked_accesses_agree(void **state) {
    (void)state;
    struct rt_engine *engine;
    struct rt_module *module;
    struct atoll_error err = {0};
    unsigned n_traps = 0, n_values = 0;
    assert_int_equal(rt_engine_new(&(struct rt_config){.tier = &interp_tier}, &engine, &err), ATOLL_OK);
    if (rt_module_load(engine, (const uint8_t *)program, sizeof program - 1, false, "m", &module, &err))
        fail_msg("%s", err.text);
    for (uint32_t e = 0; e < module->bc->n_exports; e++)
        for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
            char name[16];
            snprintf(name, sizeof name, "%.*s", (int)module->bc->exports[e].name.size,
                     module->bc->exports[e].name.bytes);
            struct answer a = ask(engine, module, name, addresses[i], true);
            struct answer b = ask(engine, module, name, addresses[i], false);
            if (a.status != b.status || a.trap != b.trap || a.value != b.value)
                fail_msg("%s(%u): %s and %s, %#llx and %#llx", name, addresses[i], rt_trap_text(a.trap),
                         rt_trap_text(b.trap), (unsigned long long)a.value, (unsigned long long)b.value);
            n_traps += a.status == ATOLL_E_TRAP;
            n_values += a.status == ATOLL_OK;
        }
    assert_true(n_traps > 50 && n_values > 50);
    rt_module_unref(module);
    rt_engine_unref(engine);
}

/* cmocka takes the fault signals for each test; the runtime's handlers have to be back for it. */
static struct sigaction faults[2];
static void keep_fault_handlers(void) {
    struct rt_engine *engine;
    if (rt_engine_new(&(struct rt_config){.tier = &interp_tier}, &engine, NULL)) return;
    sigaction(SIGSEGV, NULL, &faults[0]);
    sigaction(SIGBUS, NULL, &faults[1]);
    rt_engine_unref(engine);
}

static void same_answers_under_our_fault_handlers(void **state) {
    sigaction(SIGSEGV, &faults[0], NULL);
    sigaction(SIGBUS, &faults[1], NULL);
    guarded_and_checked_accesses_agree(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_answers_under_our_fault_handlers),
    };
    keep_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
