/* tests/runtime/instance_test.c: types and entities across modules, limits, what one tenant leaves to the
 * next. */
#include "tests/runtime/fixture.h"

static void equal_types_of_two_modules_are_one(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_module *a = load(
        &w,
        "(module (rec (type $f (func (result (ref null $s)))) (type $s (struct (field (ref null $f))))))");
    struct rt_module *b = load(&w, "(module (type (func)) (rec (type $x (func (result (ref null $y)))) (type "
                                   "$y (struct (field (ref null $x))))))");
    struct rt_module *c = load(
        &w,
        "(module (rec (type $y (struct (field (ref null $x)))) (type $x (func (result (ref null $y))))))");
    assert_ptr_equal(a->types[0], b->types[1]);
    assert_ptr_equal(a->types[1], b->types[2]);
    assert_ptr_not_equal(a->types[0], c->types[1]); /* another order is another group */
    rt_module_unref(a);
    rt_module_unref(b);
    rt_module_unref(c);
    close_world(&w);
}

/* Signature numbers of one module must not be taken for those of another, nor one engine's types for
 * another's. */
static void an_indirect_call_compares_types_not_their_numbers(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a =
        start(&w,
              "(module (type $v (func)) (type $i (func (result i32))) (table (export \"t\") 4 funcref)"
              "(elem (i32.const 0) $f $g) (func $f (type $v)) (func $g (type $i) (i32.const 7)))",
              NULL);
    struct rt_instance *b =
        start(&w,
              "(module (type $l (func (result i64))) (type $i (func (result i32))) (import \"a\" \"t\" "
              "(table 4 funcref))"
              "(func (export \"i32\") (param i32) (result i32) (call_indirect (type $i) (local.get 0)))"
              "(func (export \"i64\") (param i32) (result i64) (call_indirect (type $l) (local.get 0))))",
              a);
    assert_int_equal(call(&w, b, "i32", 1, 0), 7);
    assert_traps(&w, b, "i32", 0, 0, 0, RT_TRAP_INDIRECT_TYPE);
    assert_traps(&w, b, "i64", 0, 0, 0, RT_TRAP_INDIRECT_TYPE);
    assert_traps(&w, b, "i64", 1, 0, 0, RT_TRAP_INDIRECT_TYPE);
    assert_traps(&w, b, "i32", 2, 0, 0, RT_TRAP_UNINITIALIZED_ELEMENT);
    assert_traps(&w, b, "i32", 4, 0, 0, RT_TRAP_UNDEFINED_ELEMENT);
    assert_traps(&w, b, "i32", UINT32_MAX, 0, 0, RT_TRAP_UNDEFINED_ELEMENT);
    close_world(&w);
}

static void modules_of_another_engine_are_refused(void **state) {
    struct world w, other;
    struct rt_instance *instance;
    (void)state;
    open_world(&w, NULL, NULL);
    open_world(&other, NULL, NULL);
    struct rt_module *module = load(&other, "(module)");
    assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instance, &w.err), ATOLL_E_USAGE);
    rt_module_unref(module);
    close_world(&other);
    close_world(&w);
}

static void link_errors_name_import_and_types(void **state) {
    struct world w;
    struct rt_instance *out;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(&w, "(module (func (export \"f\") (param i32)))", NULL);
    assert_int_equal(try_start(&w, "(module (import \"env\" \"f\" (func (param i64))))", a, &out),
                     ATOLL_E_LINK);
    assert_non_null(strstr(w.err.text, "incompatible import type: env.f"));
    assert_non_null(strstr(w.err.text, "i64"));
    assert_int_equal(try_start(&w, "(module (import \"env\" \"g\" (func)))", a, &out), ATOLL_E_LINK);
    assert_non_null(strstr(w.err.text, "unknown import: env.g"));
    char text[3000], name[2001];
    memset(name, 'n', sizeof name);
    name[2000] = 0;
    snprintf(text, sizeof text, "(module (import \"%s\" \"g\" (func (param i32))))", name);
    assert_int_equal(try_start(&w, text, a, &out), ATOLL_E_LINK);
    assert_non_null(strstr(w.err.text, ".g")); /* a long name does not push out the rest */
    assert_non_null(strstr(w.err.text, "i32"));
    close_world(&w);
}

static void limits_hold_for_the_whole_store(void **state) {
    struct world w;
    struct rt_instance *out;
    (void)state;
    struct rt_limits limits = {.max_memory_bytes = 3 << 16,
                               .max_table_elems = 10,
                               .max_instances = 3,
                               .max_memories = 2,
                               .max_tables = 2};
    open_world(&w, NULL, &limits);
    struct rt_instance *a = start(
        &w,
        "(module (memory 2) (table 6 funcref) (func (export \"grow\") (param i32) (result i32) (memory.grow "
        "(local.get 0)))"
        "(func (export \"grow-table\") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))",
        NULL);
    assert_int_equal((int32_t)call(&w, a, "grow", 2, 0), -1);
    assert_int_equal(call(&w, a, "grow", 1, 0), 2);
    assert_int_equal((int32_t)call(&w, a, "grow", 1, 0), -1);
    assert_int_equal((int32_t)call(&w, a, "grow-table", 5, 0), -1);
    assert_int_equal(call(&w, a, "grow-table", 4, 0), 6);
    assert_int_equal(try_start(&w, "(module (memory 1))", NULL, &out), ATOLL_E_LIMIT);
    assert_int_equal(try_start(&w, "(module (table 1 funcref))", NULL, &out), ATOLL_E_LIMIT);
    start(&w, "(module (memory 0) (table 0 funcref))", NULL);
    assert_int_equal(try_start(&w, "(module (memory 0))", NULL, &out), ATOLL_E_LIMIT);
    assert_int_equal(try_start(&w, "(module (table 0 funcref))", NULL, &out), ATOLL_E_LIMIT);
    start(&w, "(module)", NULL);
    assert_int_equal(try_start(&w, "(module)", NULL, &out), ATOLL_E_LIMIT);
    close_world(&w);
}

/* What grow returns is not masked, what 64 bits ask is not cut to 32. */
static void table_bounds_hold_in_all_widths(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(
        &w,
        "(module (table $t i64 4 externref) (table $u 4 externref)"
        "(func (export \"grow64\") (param i64) (result i64) (table.grow $t (ref.null extern) (local.get 0)))"
        "(func (export \"grow32\") (param i32) (result i32) (table.grow $u (ref.null extern) (local.get 0)))"
        "(func (export \"get64\") (param i64) (result externref) (table.get $t (local.get 0)))"
        "(func (export \"fill64\") (param i64 i64) (table.fill $t (local.get 0) (ref.null extern) (local.get "
        "1)))"
        "(func (export \"fill32\") (param i32 i32) (table.fill $u (local.get 0) (ref.null extern) (local.get "
        "1)))"
        "(func (export \"copy64\") (param i64 i64 i64) (table.copy $t $t (local.get 0) (local.get 1) "
        "(local.get 2))))",
        NULL);
    assert_true(call(&w, a, "grow64", UINT64_C(1) << 32, 0) == UINT64_MAX);
    assert_true(call(&w, a, "grow64", UINT64_MAX, 0) == UINT64_MAX);
    assert_int_equal(call(&w, a, "grow32", UINT32_MAX, 0), UINT32_MAX);
    assert_int_equal(call(&w, a, "grow32", 20000000, 0), UINT32_MAX);
    assert_int_equal(call(&w, a, "grow64", 0, 0), 4);
    assert_traps(&w, a, "get64", UINT64_C(1) << 32, 0, 0, RT_TRAP_TABLE_BOUNDS);
    assert_traps(&w, a, "get64", 4, 0, 0, RT_TRAP_TABLE_BOUNDS);
    assert_traps(&w, a, "fill64", 1, UINT64_MAX, 0, RT_TRAP_TABLE_BOUNDS);
    assert_traps(&w, a, "fill64", UINT64_C(1) << 32, 1, 0, RT_TRAP_TABLE_BOUNDS);
    assert_traps(&w, a, "fill32", 4, 1, 0, RT_TRAP_TABLE_BOUNDS);
    assert_traps(&w, a, "fill32", UINT32_MAX, 2, 0, RT_TRAP_TABLE_BOUNDS);
    assert_traps(&w, a, "copy64", 0, UINT64_C(1) << 32, 1, RT_TRAP_TABLE_BOUNDS);
    call(&w, a, "fill64", 4, 0);
    close_world(&w);
}

static void the_next_tenant_finds_zeroes(void **state) {
    struct world w;
    (void)state;
    for (int round = 0; round < 3; round++) {
        open_world(&w, NULL, NULL);
        struct rt_instance *a = start(
            &w,
            "(module (memory 3) (table 10000 externref) (data (i32.const 65536) \"data\") (global $g (mut "
            "i64) (i64.const 5))"
            "(func (export \"sum\") (result i64) (local $i i32) (local $s i64)"
            " (loop $l (local.set $s (i64.add (local.get $s) (i64.load (local.get $i))))"
            "  (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const "
            "196608))))"
            " (i64.add (local.get $s) (global.get $g)))"
            "(func (export \"null\") (param i32) (result i32) (ref.is_null (table.get (local.get 0))))"
            "(func (export \"soil\") (param externref) (memory.fill (i32.const 0) (i32.const 255) (i32.const "
            "196608))"
            " (table.fill (i32.const 0) (local.get 0) (i32.const 10000)) (global.set $g (i64.const 9))))",
            NULL);
        assert_int_equal(call(&w, a, "sum", 0, 0), 0x61746164 + 5);
        assert_int_equal(call(&w, a, "null", 9999, 0), 1);
        call(&w, a, "soil", 16, 0);
        assert_int_equal(call(&w, a, "null", 9999, 0), 0);
        close_world(&w);
    }
}

/* Data mapped copy-on-write from the second instance on. */
static void instances_of_one_module_do_not_share_memory(void **state) {
    struct world w;
    struct rt_instance *instances[4];
    (void)state;
    open_world(&w, NULL, NULL);
    char text[9000], bytes[8200];
    memset(bytes, 'x', sizeof bytes);
    bytes[8192] = 0;
    snprintf(text, sizeof text,
             "(module (memory 2) (data (i32.const 4096) \"%s\") (func (export \"get\") (param i32) (result "
             "i32) (i32.load8_u (local.get 0)))"
             "(func (export \"set\") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))",
             bytes);
    struct rt_module *module = load(&w, text);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rt_instantiate(w.store, module, NULL, NULL, &instances[i], &w.err), ATOLL_OK);
        assert_int_equal(call(&w, instances[i], "get", 5000, 0), 'x');
        assert_int_equal(call(&w, instances[i], "get", 4095, 0), 0);
        call(&w, instances[i], "set", 5000, (uint64_t)i);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(call(&w, instances[i], "get", 5000, 0), i);
    rt_module_unref(module);
    close_world(&w);
}

static void a_memory_of_no_pages_has_no_byte(void **state) {
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a = start(
        &w,
        "(module (memory 0) (func (export \"load\") (param i32) (result i32) (i32.load8_u (local.get 0)))"
        "(func (export \"fill\") (param i32 i32) (memory.fill (local.get 0) (i32.const 1) (local.get 1))))",
        NULL);
    assert_traps(&w, a, "load", 0, 0, 0, RT_TRAP_MEMORY_BOUNDS);
    assert_traps(&w, a, "load", UINT32_MAX, 0, 0, RT_TRAP_MEMORY_BOUNDS);
    assert_traps(&w, a, "fill", 0, 1, 0, RT_TRAP_MEMORY_BOUNDS);
    assert_traps(&w, a, "fill", 1, 0, 0, RT_TRAP_MEMORY_BOUNDS);
    call(&w, a, "fill", 0, 0);
    close_world(&w);
}

/* The index and the offset are added in more than 32 bits; the last byte counts. */
static void accesses_at_the_edge_trap_in_every_width(void **state) {
    static const struct {
        const char *load, *type;
        unsigned width;
    } loads[] = {{"i32.load8_u", "i32", 1}, {"i32.load16_u", "i32", 2},      {"i32.load", "i32", 4},
                 {"i64.load", "i64", 8},    {"f32.load", "f32", 4},          {"f64.load", "f64", 8},
                 {"v128.load", "v128", 16}, {"v128.load64_splat", "v128", 8}};
    struct world w;
    (void)state;
    open_world(&w, NULL, NULL);
    for (int is64 = 0; is64 < 2; is64++)
        for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
            char text[1200];
            const char *at = is64 ? "i64" : "i32";
            snprintf(text, sizeof text,
                     "(module (memory %s 1) (func (export \"at\") (param %s) (drop (%s (local.get 0))))"
                     "(func (export \"far\") (param %s) (drop (%s offset=4294967295 (local.get 0))))"
                     "(func (export \"near\") (param %s) (drop (%s offset=65535 (local.get 0)))))",
                     at, at, loads[i].load, at, loads[i].load, at, loads[i].load);
            struct rt_instance *a = start(&w, text, NULL);
            call(&w, a, "at", 65536 - loads[i].width, 0);
            assert_traps(&w, a, "at", 65536 - loads[i].width + 1, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "at", UINT32_MAX, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "far", UINT32_MAX, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "far", 0, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "far", 1, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "near", loads[i].width > 1 ? 0 : 1, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            if (!is64) continue;
            assert_traps(&w, a, "at", UINT64_MAX, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "near", UINT64_MAX - 65534, 0, 0, RT_TRAP_MEMORY_BOUNDS);
            assert_traps(&w, a, "far", UINT64_MAX, 0, 0, RT_TRAP_MEMORY_BOUNDS);
        }
    close_world(&w);
}

/* Active segments that do not fit: those before are in place, the instance's functions stay callable through
 * tables. */
static void a_failed_instantiation_keeps_what_it_did(void **state) {
    struct world w;
    struct rt_instance *out;
    (void)state;
    open_world(&w, NULL, NULL);
    struct rt_instance *a =
        start(&w,
              "(module (table (export \"t\") 4 funcref) (memory (export \"m\") 1)"
              "(func (export \"call\") (result i32) (call_indirect (result i32) (i32.const 0)))"
              "(func (export \"byte\") (result i32) (i32.load8_u (i32.const 0))))",
              NULL);
    assert_int_equal(
        try_start(&w,
                  "(module (import \"\" \"t\" (table 4 funcref)) (import \"\" \"m\" (memory 1))"
                  "(elem (i32.const 0) $f) (data (i32.const 0) \"A\") (data (i32.const 65536) \"B\")"
                  "(func $f (result i32) (i32.const 99)))",
                  a, &out),
        ATOLL_E_TRAP);
    assert_int_equal(w.store->trap, RT_TRAP_MEMORY_BOUNDS);
    assert_int_equal(call(&w, a, "call", 0, 0), 99);
    assert_int_equal(call(&w, a, "byte", 0, 0), 'A');
    close_world(&w);
}

int main(void) {
    install_fault_handlers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_types_of_two_modules_are_one),
        cmocka_unit_test(an_indirect_call_compares_types_not_their_numbers),
        cmocka_unit_test(modules_of_another_engine_are_refused),
        cmocka_unit_test(link_errors_name_import_and_types),
        cmocka_unit_test(limits_hold_for_the_whole_store),
        cmocka_unit_test(table_bounds_hold_in_all_widths),
        cmocka_unit_test(the_next_tenant_finds_zeroes),
        cmocka_unit_test(instances_of_one_module_do_not_share_memory),
        cmocka_unit_test(a_memory_of_no_pages_has_no_byte),
        cmocka_unit_test(accesses_at_the_edge_trap_in_every_width),
        cmocka_unit_test(a_failed_instantiation_keeps_what_it_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
