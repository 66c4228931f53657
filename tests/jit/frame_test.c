/* tests/jit/frame_test.c: functions that return early, before they have a frame. What traps there, and what was on the
 * stack around it, is told as anywhere else. */
#include "jit/engine.h"
#include "tests/jit/pair.h"

/* Whether something in the export's code, which was compiled in advance, stands in front of its frame: more than the look
 * at the stack's end. */
static bool begins_without_frame(const struct pair *p, const char *name) {
    const struct rt_func *f = func(p->instances[1], name);
    const struct rt_module *module = f->instance->module;
    const struct jit_module *jit = module->jit_data;
    const struct jit_code *code = jit->codes + (f->index - module->bc->n_imported_funcs);
    uint32_t start = module->bc->funcs[f->index].code_offset, n = 0;
    for (uint32_t i = 0; i < code->n_pcs; i++)
        n += code->pcs[i].where & JIT_NO_FRAME && (code->pcs[i].where & ~JIT_NO_FRAME) != start;
    return n > 0;
}

static void early_returns_need_no_frame(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (memory 1) (data (i32.const 8) \"\\07\\00\\00\\00\\09\")"
              "(func $next (export \"next\") (param i32 i32) (result i32)"
              " (if (i32.lt_u (i32.load (local.get 0)) (i32.const 5)) (then (return (local.get 1))))"
              " (i32.add (i32.mul (call $next (i32.add (local.get 0) (i32.const 4)) (local.get 1))"
              "   (call $next (i32.add (local.get 0) (i32.const 8)) (local.get 0))) (local.get 1)))"
              /* one return for all ways, and a value of both */
              "(func $end (export \"end\") (param i32 i32) (result i32) (local i32)"
              " (block $b (br_if $b (i32.lt_u (i32.load8_u (local.get 0)) (i32.const 5)))"
              "  (loop $l (local.set 2 (i32.add (local.get 2)"
              "     (call $end (i32.add (local.get 0) (i32.const 1)) (local.get 2))))"
              "   (br_if $l (i32.gt_s (local.tee 1 (i32.sub (local.get 1) (i32.const 3))) (i32.const 0)))))"
              " (i32.add (i32.xor (local.get 1) (local.get 2)) (local.get 1)))"
              /* several ways out, by a table */
              "(func $ways (export \"ways\") (param i32 i32) (result i32)"
              " (block $c (block $b (block $a (br_table $a $b $a $c (i32.load (i32.shl (local.get 0) "
              "(i32.const 2)))))"
              "   (return (i32.div_u (i32.const 100) (local.get 1)))) (return (i32.const 5)))"
              " (i32.add (call $ways (i32.sub (local.get 0) (i32.const 1)) (local.get 1)) (local.get 1))))",
              NULL);
    assert_true(begins_without_frame(&p, "next") && begins_without_frame(&p, "end") &&
                begins_without_frame(&p, "ways"));
    for (int round = 0; round < 2; round++)
        for (uint64_t x = 0; x < 20; x++)
            for (uint64_t y = 0; y < 12; y++) {
                same(&p, "next", x, y);
                same(&p, "end", x, y);
                same(&p, "ways", x, y);
            }
    close_pair(&p);
}

/* The backtrace has all of them, however deep; the trap comes in front of the frame. */
static void traps_in_front_of_the_frame_tell_who_called(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (memory 1) (type $f (func (param i32 i32) (result i32))) (table 1 1 funcref)"
        "(elem (i32.const 0) $load) (func $nothing)"
        "(func $load (export \"load\") (param i32 i32) (result i32)"
        " (if (i32.eqz (i32.load (local.get 0))) (then (return (i32.div_s (local.get 0) (local.get 1)))))"
        " (call $load (i32.add (local.get 0) (i32.const 1)) (call $load (i32.const 0) (local.get 1))))"
        "(func $dead (export \"dead\") (param i32 i32) (result i32)"
        " (if (i32.eqz (local.get 0)) (then (return (i32.const 6))))"
        " (if (i32.eq (local.get 0) (i32.const 7)) (then unreachable))"
        " (i32.add (call $dead (i32.shr_u (local.get 0) (i32.const 1)) (local.get 1)) (local.get 1)))"
        "(func $small (param i32) (result i32) (i32.load (local.get 0)))"
        "(func $inlined (export \"inlined\") (param i32 i32) (result i32)"
        " (if (i32.eqz (call $small (local.get 0))) (then (return (call $small (local.get 1)))))"
        " (i32.add (call $inlined (i32.const 0) (local.get 0)) (call $inlined (i32.const 0) (local.get 1))))"
        "(func (export \"through\") (param i32 i32) (result i32)"
        " (i32.add (call_indirect (type $f) (local.get 0) (local.get 1) (i32.const 0))"
        "  (i32.add (call $dead (local.get 0) (local.get 1)) (call $inlined (local.get 1) (local.get 0)))))"
        "(func (export \"write\") (param i32 i32) (result i32)"
        " (i32.store (local.get 0) (local.get 1)) (i32.const 0)))",
        NULL);
    assert_true(begins_without_frame(&p, "load") && begins_without_frame(&p, "dead") &&
                begins_without_frame(&p, "inlined"));
    static const uint64_t places[] = {0, 1, 3, 7, 15, 29, 65532, 65533, 65536, 0xFFFFFFFF};
    enum { N = sizeof places / sizeof *places };
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                same(&p, "load", places[i], places[k]);
                same(&p, "dead", places[i], places[k]);
                same(&p, "inlined", places[i], places[k]);
                same(&p, "through", places[i], places[k]);
            }
        same(&p, "write", 28, 0x01010101);
    }
    close_pair(&p);
}

/* Parameters and results that stand on the stack are found without a frame and with one. */
static void values_on_the_stack_are_found_on_all_ways(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (memory 1) (type $r (func (param i32 i64 i64 i64 i64 i64 i64 f64) (result i64 i64 f64 i64)))"
        "(func $many (export \"many\") (type $r)"
        " (if (i32.eqz (i32.load (local.get 0))) (then"
        "   (return (local.get 2) (local.get 6) (local.get 7) (i64.add (local.get 1) (local.get 5)))))"
        " (call $many (i32.sub (local.get 0) (i32.const 4)) (local.get 6) (local.get 1) (local.get 2)"
        "  (local.get 3) (local.get 4) (local.get 5) (f64.add (local.get 7) (f64.const 1))))"
        "(func $sum (export \"sum\") (param i64 i64) (result i64) (local f64)"
        " (if (i64.eqz (i64.load (i32.wrap_i64 (local.get 0)))) (then (return (local.get 1))))"
        " (call $many (i32.wrap_i64 (local.get 0)) (local.get 1) (i64.const 2) (i64.const 3) (i64.const 4)"
        "  (i64.const 5) (local.get 0) (f64.const 0.5))"
        " (local.set 0) (local.set 2) (i64.add) (i64.mul (i64.const 3)) (i64.add (local.get 0))"
        " (i64.add (i64.trunc_f64_s (local.get 2))))"
        "(func (export \"set\") (param i64 i64) (result i64)"
        " (i64.store (i32.wrap_i64 (local.get 0)) (local.get 1)) (i64.const 0)))",
        NULL);
    assert_true(begins_without_frame(&p, "many"));
    for (int round = 0; round < 2; round++)
        for (uint64_t x = 0; x < 40; x++) {
            same(&p, "set", 8, 1);
            same(&p, "set", 16, UINT64_C(1) << 32);
            same(&p, "sum", x, 100);
            same(&p, "sum", 65536 - 2 * x, 100);
        }
    close_pair(&p);
}

static void what_is_kept_in_memory_behind_it_is_put_there(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (memory 1) (data (i32.const 0) "
        "\"\\00\\01\\02\\03\\04\\05\\06\\07\\08\\09\\0a\\0b\\0c\\0d\\0e\\0f\")"
        "(func $f (export \"f\") (param i32 i32) (result i32) (local i32 i32 i32 i32 i32 f64)"
        " (local.set 2 (i32.load8_u (local.get 0))) (local.set 3 (i32.load8_u offset=1 (local.get 0)))"
        " (local.set 4 (i32.mul (local.get 2) (local.get 1))) (local.set 5 (i32.xor (local.get 3) (local.get "
        "1)))"
        " (local.set 7 (f64.convert_i32_s (local.get 5)))"
        " (if (i32.lt_u (local.get 2) (i32.const 3)) (then (return (i32.add (local.get 4) (local.get 5)))))"
        " (if (i32.gt_u (local.get 1) (i32.const 50)) (then (return (i32.sub (local.get 4) (local.get 5)))))"
        " (local.set 6 (call $f (i32.sub (local.get 0) (i32.const 1)) (local.get 2)))"
        " (if (i32.and (local.get 1) (i32.const 1))"
        "  (then (local.set 6 (i32.add (local.get 6) (call $f (i32.sub (local.get 0) (i32.const 2)) "
        "(local.get 4))))))"
        " (i32.add (i32.add (i32.mul (local.get 6) (local.get 2)) (i32.mul (local.get 3) (local.get 4)))"
        "  (i32.add (i32.mul (local.get 5) (local.get 0)) (i32.add (local.get 1) (i32.trunc_f64_s (local.get "
        "7)))))))",
        NULL);
    assert_true(begins_without_frame(&p, "f"));
    for (int round = 0; round < 2; round++)
        for (uint64_t x = 0; x < 16; x++)
            for (uint64_t y = 40; y < 60; y++) same(&p, "f", x, y);
    close_pair(&p);
}

static void the_stack_ends_behind_early_returns(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p,
              "(module (memory 1) (func $f (export \"f\") (param i32) (result i32)"
              " (if (i32.eqz (i32.load8_u (i32.and (local.get 0) (i32.const 255)))) (then"
              "  (return (i32.add (i32.const 1) (call $g (i32.add (local.get 0) (i32.const 1)))))))"
              " (i32.const 3))"
              "(func $g (export \"g\") (param i32) (result i32)"
              " (if (i32.load8_u (i32.and (local.get 0) (i32.const 255))) (then (return (i32.const 3))))"
              " (i32.add (i32.const 1) (call $f (i32.add (local.get 0) (i32.const 1))))))",
              NULL);
    for (int i = 0; i < TIERS; i++)
        for (int k = 0; k < 3; k++) {
            assert_traps(&p.worlds[i], p.instances[i], "f", 1, 0, 0, RT_TRAP_STACK_EXHAUSTED);
            assert_traps(&p.worlds[i], p.instances[i], "g", 1, 0, 0, RT_TRAP_STACK_EXHAUSTED);
        }
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(early_returns_need_no_frame),
        cmocka_unit_test(traps_in_front_of_the_frame_tell_who_called),
        cmocka_unit_test(values_on_the_stack_are_found_on_all_ways),
        cmocka_unit_test(what_is_kept_in_memory_behind_it_is_put_there),
        cmocka_unit_test(the_stack_ends_behind_early_returns),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
