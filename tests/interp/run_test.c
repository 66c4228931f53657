/* tests/interp/run_test.c: programs run by the interpreter: stacks, moves, branches, calls, stops and traps.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "interp/interp.h"

/* ---- one engine and store a test; instances link to each other by name ---- */

struct world {
    struct rt_engine *engine;
    struct rt_store *store;
    struct rt_module *modules[8];
    struct rt_instance *instances[8];
    const char *names[8];
    unsigned n;
};

/* cmocka takes the fault signals for each test; the runtime installed its handlers before the first one. */
static struct sigaction faults[2];
static void keep_fault_handlers(void) {
    struct rt_engine *engine;
    struct atoll_error err;
    if (rt_engine_new(&(struct rt_config){.tier = &interp_tier}, &engine, &err)) return;
    sigaction(SIGSEGV, NULL, &faults[0]);
    sigaction(SIGBUS, NULL, &faults[1]);
    rt_engine_unref(engine);
}

static void open_world(struct world *w, struct rt_config config) {
    struct atoll_error err = {0};
    sigaction(SIGSEGV, &faults[0], NULL);
    sigaction(SIGBUS, &faults[1], NULL);
    *w = (struct world){0};
    config.tier = &interp_tier;
    assert_int_equal(rt_engine_new(&config, &w->engine, &err), ATOLL_OK);
    assert_int_equal(rt_store_new(w->engine, NULL, &w->store, &err), ATOLL_OK);
}

static void close_world(struct world *w) {
    rt_store_free(w->store);
    while (w->n) rt_module_unref(w->modules[--w->n]);
    rt_engine_unref(w->engine);
}

static bool resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    const struct world *w = context;
    (void)module;
    for (unsigned i = 0; i < w->n; i++)
        if (strlen(w->names[i]) == import->module.size &&
            !memcmp(w->names[i], import->module.bytes, import->module.size))
            return rt_instance_export(w->instances[i], import->name.bytes, import->name.size, out);
    return false;
}

static struct rt_instance *add(struct world *w, const char *name, const char *text) {
    struct atoll_error err = {0};
    struct rt_module *module;
    if (rt_module_load(w->engine, (const uint8_t *)text, strlen(text), false, name, &module, &err))
        fail_msg("%s: %s (line %u)", name, err.text, err.line);
    struct rt_instance *instance;
    if (rt_instantiate(w->store, module, resolve, w, &instance, &err)) fail_msg("%s: %s", name, err.text);
    w->modules[w->n] = module;
    w->names[w->n] = name;
    return w->instances[w->n++] = instance;
}

/* Calls with n 64-bit arguments; results are left in slots. */
static enum atoll_status call(struct world *w, struct rt_instance *instance, const char *name,
                              union rt_slot *slots, unsigned n, ...) {
    struct rt_extern found;
    struct atoll_error err = {0};
    va_list args;
    va_start(args, n);
    for (unsigned i = 0; i < n; i++) slots[i].u64 = va_arg(args, uint64_t);
    va_end(args);
    if (!rt_instance_export(instance, name, strlen(name), &found)) fail_msg("no export %s", name);
    return rt_call(w->store, found.func, slots, &err);
}
#define ARG(x) ((uint64_t)(x))
#define CALL(world, instance, name, slots, n, ...)                                                           \
    assert_int_equal(call(world, instance, name, slots, n, ##__VA_ARGS__), ATOLL_OK)

/* ---- depth ---- */

static const char recursion[] =
    "(module"
    " (func $depth (export \"depth\") (param i32) (result i32)"
    "  (if (result i32) (local.get 0)"
    "   (then (i32.add (i32.const 1) (call $depth (i32.sub (local.get 0) (i32.const 1)))))"
    "   (else (i32.const 0))))"
    " (func $even (export \"even\") (param i32) (result i32)"
    "  (if (result i32) (local.get 0)"
    "   (then (return_call $odd (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 1))))"
    " (func $odd (param i32) (result i32)"
    "  (if (result i32) (local.get 0)"
    "   (then (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))"
    "   (else (i32.const 0))))"
    " (type $t (func (param i32) (result i32)))"
    " (table funcref (elem $even)))";

static void ten_thousand_frames_fit_the_default_stack(void **state) {
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", recursion);
    CALL(&w, i, "depth", s, 1, ARG(10000));
    assert_int_equal(s[0].u32, 10000);
    close_world(&w);
}

static void endless_recursion_traps_and_the_store_stays_usable(void **state) {
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", recursion);
    assert_int_equal(call(&w, i, "depth", s, 1, ARG(UINT32_MAX)), ATOLL_E_TRAP);
    assert_int_equal(w.store->trap, RT_TRAP_STACK_EXHAUSTED);
    assert_true(w.store->n_frames > 10000);
    CALL(&w, i, "depth", s, 1, ARG(7));
    assert_int_equal(s[0].u32, 7);
    close_world(&w);
}

static void ten_million_tail_calls_need_no_stack(void **state) {
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){.stack_bytes = 65536});
    CALL(&w, add(&w, "m", recursion), "even", s, 1, ARG(10000001));
    assert_int_equal(s[0].u32, 0);
    close_world(&w);
}

/* What is done by calls of the runtime: a frame each would overflow this thread's stack. */
static void a_million_of_any_instruction_need_no_native_stack(void **state) {
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i =
        add(&w, "m",
            "(module (type $a (array (mut i8))) (memory 1 1 shared) (table $t 1 funcref) (data $d \"abc\")"
            " (elem $e funcref (ref.null func)) (type $refs (array (mut funcref)))"
            " (func (export \"run\") (param $n i32) (result i32) (local $x (ref null $a))"
            "  (loop $more"
            "   (drop (memory.grow (i32.const 0)))"
            "   (drop (table.grow $t (ref.null func) (i32.const 0)))"
            "   (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))"
            "   (drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const 0)))"
            "   (local.set $x (array.new $a (i32.const 7) (i32.const 3)))"
            "   (local.set $x (array.new_default $a (i32.const 3)))"
            "   (local.set $x (array.new_fixed $a 2 (i32.const 7) (i32.const 3)))"
            "   (local.set $x (array.new_data $a $d (i32.const 0) (i32.const 3)))"
            "   (drop (array.new_elem $refs $e (i32.const 0) (i32.const 1)))"
            "   (array.copy $a $a (local.get $x) (i32.const 0) (local.get $x) (i32.const 1) (i32.const 2))"
            "   (array.fill $a (local.get $x) (i32.const 0) (i32.const 1) (i32.const 2))"
            "   (array.init_data $a $d (local.get $x) (i32.const 0) (i32.const 0) (i32.const 1))"
            "   (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
            "  (array.get_u $a (local.get $x) (i32.const 0))))");
    CALL(&w, i, "run", s, 1, ARG(1000000));
    assert_int_equal(s[0].u32, 'a');
    close_world(&w);
}

/* ---- moves ---- */

static const char moves[] =
    "(module"
    " (func (export \"rotate\") (param i32 i32 i32) (result i32 i32 i32)"
    "  (local.get 2) (local.get 0) (local.get 1))"
    " (func (export \"loop\") (param i32 i32 i32) (result i32 i32)"
    "  (local.get 0) (local.get 1)"
    "  (loop (param i32 i32) (result i32 i32)"
    "   (local.set 1) (local.set 0) (local.get 1) (local.get 0)"
    "   (local.set 2 (i32.sub (local.get 2) (i32.const 1)))"
    "   (br_if 0 (local.get 2))))"
    " (func (export \"carry\") (param i32) (result i32)"
    "  (i32.const 100)"
    "  (block (result i32) (i32.const 5) (i32.const 6) (local.get 0) (br_if 0 (local.get 0)) (drop) (drop) "
    "(drop)"
    "   (i32.const 9))"
    "  (i32.add))"
    " (func (export \"old\") (param i32) (result i32)"
    "  (local.get 0) (local.set 0 (i32.add (local.get 0) (i32.const 1))) (i32.mul (local.get 0)))"
    " (func (export \"tee\") (param i32) (result i32)"
    "  (local.get 0) (local.tee 0 (i32.const 7)) (local.get 0) (i32.add) (i32.add))"
    " (func (export \"kept\") (param i32) (result i32)"
    "  (local.get 0) (block (br_if 0 (i32.eqz (local.get 0))) (local.set 0 (i32.const 50)))"
    "  (i32.add (local.get 0)))"
    " (func (export \"late\") (param i32) (result i32) (local i32)"
    "  (i32.add (local.get 0) (i32.const 1))" /* waits in the accumulator */
    "  (i32.store (i32.const 0) (local.get 0))"
    "  (local.set 0) (i32.sub (local.get 0) (i32.load (i32.const 0))))"
    " (func (export \"wide\") (param i64 f64 f32) (result f32 f64 i64)"
    "  (local.get 2) (local.get 1) (local.get 0))"
    " (memory 1))";

static void values_reach_their_places_whole(void **state) {
    struct world w;
    union rt_slot s[8];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", moves);
    CALL(&w, i, "rotate", s, 3, ARG(1), ARG(2), ARG(3));
    assert_int_equal(s[0].u32, 3);
    assert_int_equal(s[1].u32, 1);
    assert_int_equal(s[2].u32, 2);
    CALL(&w, i, "loop", s, 3, ARG(10), ARG(20), ARG(3));
    assert_int_equal(s[0].u32, 20);
    assert_int_equal(s[1].u32, 10);
    CALL(&w, i, "carry", s, 1, ARG(3));
    assert_int_equal(s[0].u32, 103);
    CALL(&w, i, "carry", s, 1, ARG(0));
    assert_int_equal(s[0].u32, 109);
    close_world(&w);
}

static void a_local_read_before_it_is_set_keeps_its_old_value(void **state) {
    struct world w;
    union rt_slot s[8];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", moves);
    CALL(&w, i, "old", s, 1, ARG(6));
    assert_int_equal(s[0].u32, 42);
    CALL(&w, i, "tee", s, 1, ARG(1));
    assert_int_equal(s[0].u32, 15);
    CALL(&w, i, "kept", s, 1, ARG(3));
    assert_int_equal(s[0].u32, 53);
    CALL(&w, i, "kept", s, 1, ARG(0));
    assert_int_equal(s[0].u32, 0);
    CALL(&w, i, "late", s, 1, ARG(8));
    assert_int_equal(s[0].u32, 1);
    CALL(&w, i, "wide", s, 3, ARG(5), ARG(0x3FF0000000000000), ARG(0x3F800000));
    assert_true(s[0].f32 == 1.0f && s[1].f64 == 1.0 && s[2].u64 == 5);
    close_world(&w);
}

static void br_table_carries_values_to_every_depth(void **state) {
    static const char text[] = "(module (func (export \"f\") (param i32) (result i32)"
                               " (i32.const 1000)"
                               " (block (result i32)"
                               "  (i32.const 1)"
                               "  (block (result i32)"
                               "   (i32.const 2) (i32.const 3)"
                               "   (block (result i32) (i32.const 40) (br_table 0 1 2 3 1 (local.get 0)))"
                               "   (i32.add) (i32.add))"
                               "  (i32.add))"
                               " (i32.add)))";
    static const uint32_t want[] = {1000 + 1 + 2 + 3 + 40, 1000 + 1 + 40, 1000 + 40, 40,
                                    1000 + 1 + 40,         1000 + 1 + 40};
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", text);
    for (uint32_t k = 0; k < 6; k++) {
        CALL(&w, i, "f", s, 1, ARG(k));
        assert_int_equal(s[0].u32, want[k]);
    }
    CALL(&w, i, "f", s, 1, ARG(UINT32_MAX));
    assert_int_equal(s[0].u32, 1041);
    close_world(&w);
}

/* ---- instances ---- */

static void each_instance_keeps_its_memory_across_calls(void **state) {
    static const char lib[] =
        "(module (memory (export \"mem\") 1) (data (i32.const 0) \"\\2a\")"
        " (func (export \"peek\") (param i32) (result i32) (i32.load8_u (local.get 0))))";
    static const char text[] =
        "(module (import \"lib\" \"peek\" (func $peek (param i32) (result i32)))"
        " (memory 1) (data (i32.const 0) \"\\07\")"
        " (type $t (func (param i32) (result i32))) (table funcref (elem $peek))"
        " (func (export \"direct\") (result i32)"
        "  (i32.add (i32.mul (call $peek (i32.const 0)) (i32.const 100)) (i32.load8_u (i32.const 0))))"
        " (func (export \"indirect\") (result i32)"
        "  (i32.add (i32.mul (call_indirect (type $t) (i32.const 0) (i32.const 0)) (i32.const 100))"
        "   (i32.load8_u (i32.const 0))))"
        " (func $tail (result i32) (return_call $peek (i32.const 0)))"
        " (func (export \"tail\") (result i32)"
        "  (i32.add (i32.mul (call $tail) (i32.const 100)) (i32.load8_u (i32.const 0)))))";
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    add(&w, "lib", lib);
    struct rt_instance *i = add(&w, "m", text);
    static const char *const ways[] = {"direct", "indirect", "tail"};
    for (int k = 0; k < 3; k++) {
        CALL(&w, i, ways[k], s, 0);
        assert_int_equal(s[0].u32, 4207);
    }
    close_world(&w);
}

/* ---- stops ---- */

static const char spin[] = "(module (func (export \"spin\") (loop (br 0)))"
                           " (func (export \"count\") (param i32) (result i32) (local i32)"
                           "  (loop (local.set 1 (i32.add (local.get 1) (i32.const 1)))"
                           "   (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
                           "  (local.get 1))"
                           " (func $calls (export \"calls\") (return_call $calls)))";

static void *interrupter(void *store) {
    struct timespec wait = {.tv_nsec = 20000000};
    nanosleep(&wait, NULL);
    rt_store_interrupt(store, RT_INTERRUPT_TIMEOUT);
    return NULL;
}

static void another_thread_stops_loops_and_tail_calls(void **state) {
    static const char *const names[] = {"spin", "calls"};
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", spin);
    for (int k = 0; k < 2; k++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, interrupter, w.store), 0);
        assert_int_equal(call(&w, i, names[k], s, 0), ATOLL_E_INTERRUPTED);
        assert_int_equal(w.store->trap, RT_TRAP_TIMEOUT);
        pthread_join(thread, NULL);
        atomic_store(&w.store->interrupt, RT_INTERRUPT_NONE);
    }
    close_world(&w);
}

static void fuel_counts_instructions_and_stops(void **state) {
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){.fuel = true});
    struct rt_instance *i = add(&w, "m", spin);
    int64_t used[3];
    for (int k = 0; k < 3; k++) {
        w.store->fuel = 1000000;
        CALL(&w, i, "count", s, 1, ARG(k == 2 ? 1001 : 1000));
        used[k] = 1000000 - w.store->fuel;
    }
    assert_true(used[0] == used[1]);
    assert_int_equal(used[2] - used[0], 9); /* one round of the loop */
    w.store->fuel = 500;
    assert_int_equal(call(&w, i, "spin", s, 0), ATOLL_E_INTERRUPTED);
    assert_int_equal(w.store->trap, RT_TRAP_OUT_OF_FUEL);
    close_world(&w);
}

/* ---- traps ---- */

/* The innermost frame names the instruction: its opcode stands at that byte. */
static void expect_trap(struct world *w, const char *body, enum rt_trap trap, uint8_t prefix,
                        uint8_t opcode) {
    char text[600];
    union rt_slot s[4];
    snprintf(text, sizeof text,
             "(module (memory 1) (memory $b 1) (table 2 funcref) (type $v (func))"
             " (func (export \"f\") (param i32) (nop) %s))",
             body);
    struct rt_instance *i = add(w, "t", text);
    assert_int_equal(call(w, i, "f", s, 1, ARG(0x10000)), ATOLL_E_TRAP);
    if (w->store->trap != trap) fail_msg("%s: trap %d", body, (int)w->store->trap);
    const uint8_t *at = i->module->bc->bytes + w->store->frames[0].offset;
    if (at[0] != (prefix ? prefix : opcode) || (prefix && at[1] != opcode))
        fail_msg("%s: pc at %02x %02x", body, at[0], at[1]);
    w->n--;
    rt_module_unref(w->modules[w->n]);
}

static void traps_name_their_instruction(void **state) {
    static const struct {
        const char *body;
        enum rt_trap trap;
        uint8_t prefix, opcode;
    } cases[] = {
        {"(drop (i32.load (local.get 0)))", RT_TRAP_MEMORY_BOUNDS, 0, 0x28},
        {"(drop (i32.load offset=0xffffffff (local.get 0)))", RT_TRAP_MEMORY_BOUNDS, 0, 0x28},
        {"(drop (i32.load (i32.add (local.get 0) (local.get 0))))", RT_TRAP_MEMORY_BOUNDS, 0, 0x28},
        {"(drop (i64.load8_s (local.get 0)))", RT_TRAP_MEMORY_BOUNDS, 0, 0x30},
        {"(drop (f32.load (local.get 0)))", RT_TRAP_MEMORY_BOUNDS, 0, 0x2A},
        {"(drop (f64.load offset=1 (i32.const 65528)))", RT_TRAP_MEMORY_BOUNDS, 0, 0x2B},
        {"(drop (v128.load (local.get 0)))", RT_TRAP_MEMORY_BOUNDS, 0xFD, 0x00},
        {"(i32.store (local.get 0) (i32.const 1))", RT_TRAP_MEMORY_BOUNDS, 0, 0x36},
        {"(i64.store (i32.const 65529) (i64.const 1))", RT_TRAP_MEMORY_BOUNDS, 0, 0x37},
        {"(f64.store (local.get 0) (f64.const 1))", RT_TRAP_MEMORY_BOUNDS, 0, 0x39},
        {"(i32.store8 (local.get 0) (local.get 0))", RT_TRAP_MEMORY_BOUNDS, 0, 0x3A},
        {"(drop (i32.load $b (local.get 0)))", RT_TRAP_MEMORY_BOUNDS, 0, 0x28},
        {"(i32.store $b (local.get 0) (local.get 0))", RT_TRAP_MEMORY_BOUNDS, 0, 0x36},
        {"(memory.fill (local.get 0) (i32.const 0) (i32.const 1))", RT_TRAP_MEMORY_BOUNDS, 0xFC, 0x0B},
        {"(drop (i32.div_s (local.get 0) (i32.const 0)))", RT_TRAP_DIVIDE_BY_ZERO, 0, 0x6D},
        {"(drop (i32.trunc_f64_s (f64.const nan)))", RT_TRAP_INVALID_CONVERSION, 0, 0xAA},
        {"(drop (table.get 0 (local.get 0)))", RT_TRAP_TABLE_BOUNDS, 0, 0x25},
        {"(call_indirect (type $v) (local.get 0))", RT_TRAP_UNDEFINED_ELEMENT, 0, 0x11},
        {"(call_indirect (type $v) (i32.const 1))", RT_TRAP_UNINITIALIZED_ELEMENT, 0, 0x11},
        {"(drop (i32.atomic.load (i32.const 2)))", RT_TRAP_UNALIGNED_ATOMIC, 0xFE, 0x10},
        {"(unreachable)", RT_TRAP_UNREACHABLE, 0, 0x00},
    };
    struct world w;
    (void)state;
    open_world(&w, (struct rt_config){0});
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        expect_trap(&w, cases[k].body, cases[k].trap, cases[k].prefix, cases[k].opcode);
    close_world(&w);
}

static void dropped_loads_still_trap_and_sums_wrap_at_32_bits(void **state) {
    static const char text[] = "(module (memory 1) (data (i32.const 8) \"\\2a\")"
                               " (func (export \"sum\") (param i32 i32) (result i32)"
                               "  (i32.load8_u offset=4 (i32.add (local.get 0) (local.get 1))))"
                               " (func (export \"less\") (param i32) (result i32)"
                               "  (i32.load8_u (i32.add (local.get 0) (i32.const -4)))))";
    struct world w;
    union rt_slot s[4];
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", text);
    CALL(&w, i, "sum", s, 2, ARG(0xFFFFFFFF), ARG(5));
    assert_int_equal(s[0].u32, 42);
    CALL(&w, i, "less", s, 1, ARG(12));
    assert_int_equal(s[0].u32, 42);
    assert_int_equal(call(&w, i, "less", s, 1, ARG(3)), ATOLL_E_TRAP);
    assert_int_equal(w.store->trap, RT_TRAP_MEMORY_BOUNDS);
    close_world(&w);
}

static void the_listing_shows_fused_instructions(void **state) {
    struct world w;
    struct bc_buf out;
    (void)state;
    open_world(&w, (struct rt_config){0});
    struct rt_instance *i = add(&w, "m", spin);
    bc_buf_init(&out, &atoll_default_alloc);
    assert_int_equal(interp_dump(i->module, 1, &out, NULL), ATOLL_OK);
    bc_buf_u8(&out, 0);
    assert_non_null(strstr((const char *)out.data, "LOOP_NZ_A"));
    assert_non_null(strstr((const char *)out.data, "I32_ADD_SI_D"));
    bc_buf_fini(&out);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_frames_fit_the_default_stack),
        cmocka_unit_test(endless_recursion_traps_and_the_store_stays_usable),
        cmocka_unit_test(ten_million_tail_calls_need_no_stack),
        cmocka_unit_test(a_million_of_any_instruction_need_no_native_stack),
        cmocka_unit_test(values_reach_their_places_whole),
        cmocka_unit_test(a_local_read_before_it_is_set_keeps_its_old_value),
        cmocka_unit_test(br_table_carries_values_to_every_depth),
        cmocka_unit_test(each_instance_keeps_its_memory_across_calls),
        cmocka_unit_test(another_thread_stops_loops_and_tail_calls),
        cmocka_unit_test(fuel_counts_instructions_and_stops),
        cmocka_unit_test(traps_name_their_instruction),
        cmocka_unit_test(dropped_loads_still_trap_and_sums_wrap_at_32_bits),
        cmocka_unit_test(the_listing_shows_fused_instructions),
    };
    keep_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
