/* tests/jit/slow_test.c: what compiled code asks the runtime for does the same in all tiers: growth, waiting and
 * notifying, arrays from segments, segments that go, conversions. Results, traps, places, fuel. */
#include "tests/jit/pair.h"

static const uint64_t edges[] = {0,          1,          2,          3,          4,          5,
                                 7,          8,          9,          65528,      65532,      65536,
                                 131072,     0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF, 1ull << 32,
                                 1ull << 48, 1ull << 63, UINT64_MAX};
enum { EDGES = sizeof edges / sizeof *edges };

static void all_pairs(struct pair *p, const char *name) {
    assert_true(compiled(p, name));
    for (int a = 0; a < EDGES; a++)
        for (int b = 0; b < EDGES; b++) same(p, name, edges[a], edges[b]);
}

static void memories_and_tables_grow_alike(void **state) {
    static const char *const names[] = {"small", "wide", "shared", "refs", "refs64"};
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (memory 1 3) (memory $w i64 1 4) (memory $s 1 3 shared) (table $t 1 5 externref)"
        " (table $u i64 1 5 funcref)"
        "(func (export \"small\") (param i64 i64) (result i64)"
        " (i64.add (i64.extend_i32_u (memory.grow (i32.wrap_i64 (local.get 0))))"
        "  (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 32))))"
        "(func (export \"wide\") (param i64 i64) (result i64)"
        " (i64.add (memory.grow $w (local.get 0)) (i64.shl (memory.size $w) (i64.const 32))))"
        "(func (export \"shared\") (param i64 i64) (result i64)"
        " (i64.add (i64.extend_i32_u (memory.grow $s (i32.wrap_i64 (local.get 0))))"
        "  (i64.shl (i64.extend_i32_u (memory.size $s)) (i64.const 32))))"
        "(func (export \"refs\") (param i64 i64) (result i64)"
        " (i64.add (i64.extend_i32_u (table.grow $t (ref.null extern) (i32.wrap_i64 (local.get 0))))"
        "  (i64.shl (i64.extend_i32_u (table.size $t)) (i64.const 32))))"
        "(func (export \"refs64\") (param i64 i64) (result i64)"
        " (i64.add (table.grow $u (ref.null func) (local.get 0)) (i64.shl (table.size $u) (i64.const 32))))"
        /* what grew is reached at once */
        "(func (export \"reach\") (param i64 i64) (result i64) (i64.store (i32.const 131064) (local.get 0))"
        " (i64.add (i64.load (i32.const 131064)) (i64.extend_i32_u (memory.grow (i32.const 1))))))",
        NULL);
    same(&p, "reach", 1, 0); /* traps */
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        assert_true(compiled(&p, names[n]));
        for (int i = EDGES; i-- > 0;) same(&p, names[n], edges[i], 0);
        for (int i = 0; i < 6; i++) same(&p, names[n], 1, 0);
    }
    assert_int_equal(same(&p, "reach", 77, 0), 77 + UINT64_C(0xFFFFFFFF));
    close_pair(&p);
}

/* Nobody notifies: a wait ends at once, or after its nanosecond. */
static void waiting_and_notifying_do_alike(void **state) {
    static const char *const names[] = {"wait32",     "wait64",      "wait far", "wait wide", "notify",
                                        "notify far", "notify wide", "wait own", "notify own"};
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (memory $s 1 1 shared) (memory $w i64 1 1 shared) (memory $own 1)"
        "(data (memory $s) (i32.const 0) \"\\01\\00\\00\\00\\00\\00\\00\\00\\01\")"
        "(func (export \"wait32\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.wait32 (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1)) (i64.const 1))))"
        "(func (export \"wait64\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.wait64 (i32.wrap_i64 (local.get 0)) (local.get 1) (i64.const 0))))"
        "(func (export \"wait far\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.wait32 offset=4294967292 (i32.wrap_i64 (local.get 0)) (i32.const 0) (i64.const 1))))"
        "(func (export \"wait wide\") (param i64 i64) (result i64) (i64.extend_i32_u (memory.atomic.wait64 $w"
        "  offset=8 (local.get 0) (local.get 1) (i64.const 1))))"
        "(func (export \"notify\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.notify (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1)))))"
        "(func (export \"notify far\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.notify offset=4294967288 (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get "
        "1)))))"
        "(func (export \"notify wide\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.notify $w offset=16 (local.get 0) (i32.wrap_i64 (local.get 1)))))"
        "(func (export \"wait own\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.wait32 $own (i32.wrap_i64 (local.get 0)) (i32.const 0) (i64.const 0))))"
        "(func (export \"notify own\") (param i64 i64) (result i64) (i64.extend_i32_u"
        " (memory.atomic.notify $own (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1))))))",
        NULL);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) all_pairs(&p, names[n]);
    assert_int_equal(same(&p, "wait32", 0, 1), 2);
    assert_int_equal(same(&p, "wait64", 8, 2), 1);
    close_pair(&p);
}

static void arrays_are_made_and_filled_from_segments_alike(void **state) {
    static const char *const names[] = {"new elem",  "new data",  "init elem", "init data",
                                        "null elem", "null data", "item",      "convert"};
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (type $r (array (mut funcref))) (type $d (array (mut i16))) (type $f (func (result i64)))"
        "(func $one (type $f) (i64.const 1)) (func $two (type $f) (i64.const 2))"
        "(elem $e funcref (ref.func $one) (ref.func $two) (ref.null func) (ref.func $one))"
        "(data $b \"\\01\\02\\03\\04\\05\\06\\07\\08\\09\") (elem declare func $one)"
        "(global $g (mut (ref null $r)) (ref.null $r))"
        "(func (export \"new elem\") (param i64 i64) (result i64) (i64.extend_i32_u (array.len"
        " (array.new_elem $r $e (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1))))))"
        "(func (export \"new data\") (param i64 i64) (result i64) (i64.extend_i32_u (array.len"
        " (array.new_data $d $b (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1))))))"
        "(func (export \"init elem\") (param i64 i64) (result i64) (local $a (ref null $r))"
        " (local.set $a (array.new_default $r (i32.const 5)))"
        " (array.init_elem $r $e (local.get $a) (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1))"
        "  (i32.const 2))"
        " (i64.extend_i32_u (ref.is_null (array.get $r (local.get $a) (i32.wrap_i64 (local.get 0))))))"
        "(func (export \"init data\") (param i64 i64) (result i64) (local $a (ref null $d))"
        " (local.set $a (array.new_default $d (i32.const 5)))"
        " (array.init_data $d $b (local.get $a) (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1))"
        "  (i32.const 2))"
        " (i64.extend_i32_u (array.get_u $d (local.get $a) (i32.wrap_i64 (local.get 0)))))"
        "(func (export \"null elem\") (param i64 i64) (result i64)"
        " (array.init_elem $r $e (ref.null $r) (i32.wrap_i64 (local.get 0)) (i32.const 0) (i32.const 0))"
        " (i64.const 1))"
        "(func (export \"null data\") (param i64 i64) (result i64)"
        " (array.init_data $d $b (ref.null $d) (i32.wrap_i64 (local.get 0)) (i32.const 0) (i32.const 0))"
        " (i64.const 1))"
        "(func (export \"item\") (param i64 i64) (result i64) (call_ref $f (ref.cast (ref $f)"
        " (array.get $r (array.new_elem $r $e (i32.const 0) (i32.const 4)) (i32.wrap_i64 (local.get 0))))))"
        "(func (export \"convert\") (param i64 i64) (result i64) (i64.extend_i32_s (i31.get_s (ref.cast "
        "i31ref"
        " (any.convert_extern (extern.convert_any (ref.i31 (i32.wrap_i64 (local.get 0)))))))))"
        "(func (export \"drop\") (param i64 i64) (result i64)"
        " (if (i64.eqz (local.get 0)) (then (elem.drop $e)) (else (data.drop $b))) (local.get 1)))",
        NULL);
    for (int round = 0; round < 2; round++) {
        for (size_t n = 0; n < sizeof names / sizeof *names; n++) all_pairs(&p, names[n]);
        assert_true(compiled(&p, "drop"));
        same(&p, "drop", 0, 5);
        same(&p, "drop", 1, 6);
    }
    close_pair(&p);
}

/* However little fuel there is, they end at the same place with the same rest, and nothing half done. */
static void fuel_ends_around_them_alike(void **state) {
    const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};
    static const char program[] =
        "(module (memory 1 100) (memory $s 1 1 shared) (type $d (array (mut i8))) (data $b \"abcdefgh\")"
        "(func (export \"f\") (param i64) (result i64) (local $n i64)"
        " (loop $l"
        "  (local.set $n (i64.add (local.get $n) (i64.extend_i32_u (memory.grow (i32.const 1)))))"
        "  (local.set $n (i64.add (local.get $n) (i64.extend_i32_u (array.len"
        "   (array.new_data $d $b (i32.const 1) (i32.const 3))))))"
        "  (local.set $n (i64.add (local.get $n) (i64.extend_i32_u"
        "   (memory.atomic.wait32 $s (i32.const 0) (i32.const 1) (i64.const -1)))))"
        "  (local.set $n (i64.add (local.get $n) (i64.extend_i32_u"
        "   (memory.atomic.notify $s (i32.const 0) (i32.const 1)))))"
        "  (br_if $l (i64.ne (i64.const 0) (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))"
        " (local.get $n)))";
    (void)state;
    for (int64_t fuel = 0; fuel < 120; fuel++) {
        int64_t rest[TIERS];
        uint64_t pages[TIERS];
        enum rt_trap trap[TIERS];
        for (int i = 0; i < TIERS; i++) {
            struct world w;
            open_world(&w, &(struct rt_config){.tier = tiers[i], .fuel = true}, NULL);
            struct rt_instance *instance = start(&w, program, NULL);
            w.store->fuel = fuel;
            trap[i] = try_call(&w, instance, "f", 3, 0, 0, NULL) ? w.store->trap : RT_TRAP_NONE;
            rest[i] = w.store->fuel;
            pages[i] = instance->memories[0]->size_bytes >> 16;
            close_world(&w);
            assert_int_equal(trap[i], trap[0]);
            assert_int_equal(rest[i], rest[0]);
            assert_int_equal(pages[i], pages[0]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memories_and_tables_grow_alike),
        cmocka_unit_test(waiting_and_notifying_do_alike),
        cmocka_unit_test(arrays_are_made_and_filled_from_segments_alike),
        cmocka_unit_test(fuel_ends_around_them_alike),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
