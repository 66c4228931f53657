/* tests/jit/tail_test.c: tail calls among functions with and without machine code, of one instance and of two. Each
 * chain is longer than any native stack would hold. */
#include "tests/jit/declined.h"
#include "tests/jit/pair.h"

#define LONG 400001

static void open_expanded(struct pair *p, const char *text, const char *imports) {
    char *own = expand(text), *others = expand(imports);
    open_pair(p, own, others);
    free(own);
    free(others);
}

/* $slow and $slow_wide are interpreted in all tiers. */
static void interpreted_and_compiled_functions_call_each_other(void **state) {
    struct pair p;
    (void)state;
    open_expanded(
        &p,
        "(module # (import \"\" \"two\" (func $two (param i64 i64) (result i64 i64)))"
        "(func $slow (export \"slow\") (param i64 i64) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 1) (i64.const 7))))"
        " @ (if (i64.eq (local.get 0) (i64.const -1)) (then (return_call $two (i64.const 0) (i64.const 0))))"
        " (return_call $fast (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 3))))"
        "(func $fast (export \"fast\") (param i64 i64) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 1) (i64.const 11))))"
        " (return_call $wide (i64.sub (local.get 0) (i64.const 1)) (local.get 1) (v128.const i64x2 5 2)"
        "  (local.get 0) (local.get 1) (f32.const 13)))"
        "(func $wide (param i64 i64 v128 i64 i64 f32) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 4) (local.get 3))))"
        " (return_call $slow_wide (i64.sub (local.get 0) (i64.const 1)) (local.get 4) (local.get 2)"
        "  (local.get 3) (local.get 1) (local.get 5)))"
        "(func $slow_wide (export \"slow_wide\") (param i64 i64 v128 i64 i64 f32) (result i64 i64)"
        " (if (i64.eqz (local.get 0)) (then (return (local.get 4) (i64.trunc_f32_u (local.get 5)))))"
        " @ (if (i64.eq (local.get 0) (i64.const -1)) (then (return_call $two (i64.const 0) (i64.const 0))))"
        " (return_call $slow (i64.sub (local.get 0) (i64.const 1))"
        "  (i64.add (local.get 1) (i64x2.extract_lane 0 (local.get 2)))))"
        "(func $from_slow (export \"from_slow\") (param i64 i64) (result i64)"
        " (i64.mul (call $slow (local.get 0) (local.get 1))))"
        "(func $from_fast (export \"from_fast\") (param i64 i64) (result i64)"
        " (i64.mul (call $fast (local.get 0) (local.get 1))))"
        "(func (export \"both\") (param i64 i64) (result i64)"
        " (i64.add (call $from_slow (local.get 0) (local.get 1)) (call $from_fast (local.get 0) (local.get "
        "1))))"
        "(func $loop (param i64) (result i64 i64) (local $n i64)"
        " (loop $l (local.set $n (i64.add (local.get $n) (i64.const 1)))"
        "  (br_if $l (i64.lt_u (local.get $n) (i64.const 1000))))"
        " (return_call $slow (local.get 0) (local.get $n)))"
        "(func (export \"out_of_a_loop\") (param i64 i64) (result i64) (i64.mul (call $loop (local.get "
        "0)))))",
        "(module (func (export \"two\") (param i64 i64) (result i64 i64) (local.get 0) (local.get 1)))");
    assert_true(compiled(&p, "fast") && compiled(&p, "from_slow") && compiled(&p, "from_fast"));
    assert_false(compiled(&p, "slow") || compiled(&p, "slow_wide"));
    for (uint64_t n = 0; n < 6; n++) {
        same(&p, "from_slow", n, 1000);
        same(&p, "from_fast", n, 1000);
    }
    assert_int_equal(same(&p, "from_slow", LONG + 3, 1000), (1000 + (LONG + 3) / 4 * 8) * 7);
    same(&p, "from_fast", LONG, 1000);
    same(&p, "both", LONG, 1000);
    same(&p, "out_of_a_loop", LONG, 0);
    close_pair(&p);
}

/* Each instance adds what stands in its own memory. */
static void two_instances_call_each_other(void **state) {
    struct pair p;
    (void)state;
    open_expanded(
        &p,
        "(module (import \"\" \"back\" (func $back (param i64 i64) (result i64)))"
        "(import \"\" \"table\" (table $t 4 funcref)) (elem (table $t) (i32.const 1) func $there $slow_there)"
        "(memory 1) (data (i32.const 0) \"\\05\") (type $f (func (param i64 i64) (result i64))) #"
        "(func $there (export \"there\") (param i64 i64) (result i64)"
        " (if (i64.eqz (local.get 0)) (then (return (i64.mul (local.get 1) (i64.load8_u (i32.const 0))))))"
        " (return_call $back (i64.sub (local.get 0) (i64.const 1))"
        "  (i64.add (local.get 1) (i64.load8_u (i32.const 0)))))"
        "(func $slow_there (export \"slow there\") (param i64 i64) (result i64)@"
        " (if (i64.eqz (local.get 0)) (then (return (i64.mul (local.get 1) (i64.load8_u (i32.const 0))))))"
        " (return_call_indirect $t (type $f) (i64.sub (local.get 0) (i64.const 1))"
        "  (i64.add (local.get 1) (i64.load8_u (i32.const 0))) (i32.const 3)))"
        "(func (export \"after\") (param i64 i64) (result i64)"
        " (i64.add (call $there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0))))"
        "(func (export \"slow after\") (param i64 i64) (result i64)@"
        " (i64.add (call $there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0))))"
        "(func (export \"after slow\") (param i64 i64) (result i64)"
        " (i64.add (call $slow_there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0)))))",
        "(module (table $t (export \"table\") 4 funcref) (elem (i32.const 3) func $slow_back)"
        "(memory 1) (data (i32.const 0) \"\\0b\") (type $f (func (param i64 i64) (result i64))) #"
        "(func $back (export \"back\") (param i64 i64) (result i64)"
        " (return_call_indirect $t (type $f) (local.get 0) (i64.add (local.get 1) (i64.load8_u (i32.const "
        "0)))"
        "  (i32.add (i32.const 1) (i32.wrap_i64 (i64.rem_u (local.get 0) (i64.const 3))))))"
        /* compiled, and at times leads to the other kind */
        "(func $slow_back (param i64 i64) (result i64)@"
        " (return_call_indirect $t (type $f) (local.get 0) (i64.add (local.get 1) (i64.load8_u (i32.const "
        "0)))"
        "  (i32.sub (i32.const 2) (i32.wrap_i64 (i64.rem_u (local.get 0) (i64.const 2)))))))");
    assert_true(compiled(&p, "there") && compiled(&p, "after"));
    assert_false(compiled(&p, "slow there") || compiled(&p, "slow after"));
    const char *const names[] = {"there", "slow there", "after", "slow after", "after slow"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint64_t n = 0; n < 12; n++) same(&p, names[i], n, 1000);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) same(&p, names[i], LONG, 1000);
    close_pair(&p);
}

/* Compiled code alone: what gets back to the first instance is kept once, not a call. */
static void compiled_functions_of_two_instances_call_each_other(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"back\" (func $back (param i64 i64) (result i64)))"
        "(import \"\" \"table\" (table $t 1 funcref)) (elem (table $t) (i32.const 0) func $there)"
        "(memory 1) (data (i32.const 0) \"\\05\")"
        "(func $there (param i64 i64) (result i64)"
        " (if (i64.eqz (local.get 0)) (then (return (i64.mul (local.get 1) (i64.load8_u (i32.const 0))))))"
        " (if (i64.eq (local.get 0) (i64.const 7777)) (then (i64.store (i32.const -1) (i64.const 0))))"
        " (return_call $back (i64.sub (local.get 0) (i64.const 1)) (local.get 1)))"
        "(func (export \"f\") (param i64 i64) (result i64)"
        " (i64.add (call $there (local.get 0) (local.get 1)) (i64.load8_u (i32.const 0)))))",
        "(module (table $t (export \"table\") 1 funcref)"
        "(memory 1) (data (i32.const 0) \"\\0b\") (type $f (func (param i64 i64) (result i64)))"
        "(func (export \"back\") (param i64 i64) (result i64)"
        " (return_call_indirect $t (type $f) (local.get 0) (i64.add (local.get 1) (i64.load8_u (i32.const "
        "0)))"
        "  (i32.const 0))))");
    assert_true(compiled(&p, "f"));
    assert_int_equal(same(&p, "f", 7000, 0), 7000 * 11 * 5 + 5);
    same(&p, "f", 1000000, 0); /* traps: the backtrace has two functions */
    assert_int_equal(p.worlds[1].store->n_frames, 2);
    close_pair(&p);
}

/* What each kind of function is for: A to E take the more of the stack the further; `far` ones are in another instance, and
 * interpreted ones among both. Each goes on with the next by a number that its caller's caller chose. */
#define ARGS_9 "i64 i64 i64 i64 i64 i64 i64 i64 i64"
#define ARGS_F "f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64"
#define GETS_9                                                                                               \
    "(local.get 1) (local.get 1) (local.get 1) (local.get 1) (local.get 1) (local.get 1) (local.get 1)"
#define FLOAT   "(f64.convert_i64_u (local.get 1))"
#define FLOATS  FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT FLOAT
#define RESULTS "(result i64 f64 i64 v128)"
#define END(last)                                                                                            \
    "(if (i64.eqz (local.get 0)) (then (return (local.get 1) (f64.const 3) " last                            \
    " (i64x2.splat (local.get 1)))))"
#define LESS "(i64.sub (local.get 0) (i64.const 1))"
#define MORE(get)                                                                                            \
    "(i64.add (i64.add (i64.mul (local.get 1) (i64.const 3)) " get ") (i64.load8_u (i32.const 0)))"
#define WHICH(n) "(i32.wrap_i64 (i64.rem_u (i64.add (local.get 0) (i64.const " n ")) (i64.const 2)))"
/* A function of each shape, which calls one of two of the next shape in the table. */
#define SHAPES(end_a, end_b, end_c)                                                                          \
    "(type $a (func (param i64 i64) " RESULTS ")) (type $b (func (param " ARGS_9 ") " RESULTS "))"           \
    "(type $c (func (param i64 i64 v128 " ARGS_9 " " ARGS_F ") " RESULTS "))"                                \
    "(memory 1) (data (i32.const 0) \"\\0b\")"                                                               \
    "(func $a (type $a) " end_a END("(i64.const 1)") " (return_call_indirect $t (type $b) " LESS MORE(       \
        "(i64.const 1)") GETS_9                                                                              \
        " " WHICH("0") "))"                                                                                  \
                       "(func $b (type $b) " end_b                                                           \
                           END("(local.get 8)") " (return_call_indirect $t (type $c) " LESS MORE(            \
                               "(local.get 8)") "(i64x2.splat (local.get 5))"                                \
                                                "  (local.get 1) (local.get 2)" GETS_9 FLOATS                \
                                                " (i32.add (i32.const 2) " WHICH(                            \
                                                    "1") ")))"                                               \
                                                         "(func $c (type $c) " end_c END(                    \
                                                             "(local.get 11)") " (return_call_indirect $t "  \
                                                                               "(type $a) " LESS "  " MORE(  \
                                                                                   "(i64.add "               \
                                                                                   "(local.get 11) "         \
                                                                                   "(i64.trunc_sat_"         \
                                                                                   "f64_u (local.get "       \
                                                                                   "23)))") "  "             \
                                                                                            "(i32.add "      \
                                                                                            "(i32."          \
                                                                                            "const "         \
                                                                                            "4)"             \
                                                                                            " " WHICH(       \
                                                                                                "2") ")))"

static void arguments_of_any_number_pass_between_instances(void **state) {
    struct pair p;
    (void)state;
    open_expanded(
        &p,
        "(module # (import \"\" \"table\" (table $t 6 funcref))"
        "(elem (table $t) (i32.const 0) func $b) (elem (table $t) (i32.const 2) func $c)"
        "(elem (table $t) (i32.const 4) func $a)" SHAPES("", "", "@")
        /* within one instance: each step wants more of the stack than the one before */
        "(func $s0 (param i64 i64) " RESULTS END("(i64.const 5)") " (return_call $s1 " LESS MORE(
            "(i64.const 1)") GETS_9
        "))"
        "(func $s1 (type $b) " END("(local.get 7)") " (return_call $s2 " LESS MORE(
            "(local.get 8)") "(i64x2.splat (local.get 5))"
                             "  (local.get 1) (local.get 2)" GETS_9 FLOATS "))"
                             "(func $s2 (type $c) " END("(local.get 11)") " (return_call $s0 " LESS MORE(
                                 "(i64.add (local.get 11) (i64.trunc_sat_f64_u (local.get "
                                 "23)))") "))"
                                          "(func $sum (param i64 f64 i64 v128) (result i64)"
                                          " (i64.add (i64.add (local.get 0) "
                                          "(i64.trunc_sat_f64_u (local.get 1)))"
                                          "  (i64.add (i64.mul (local.get 2) (i64.const 5)) "
                                          "(i64x2.extract_lane 1 (local.get 3)))))"
                                          "(func (export \"steps\") (param i64 i64) (result "
                                          "i64)"
                                          " (i64.add (call $sum (call $s0 (local.get 0) "
                                          "(local.get 1))) (i64.load8_u (i32.const 0))))"
                                          "(func (export \"mixed\") (param i64 i64) (result "
                                          "i64)"
                                          " (i64.add (call $sum (call $a (local.get 0) "
                                          "(local.get 1))) (i64.load8_u (i32.const 0))))"
                                          "(func (export \"slow mixed\") (param i64 i64) "
                                          "(result i64) @"
                                          " (i64.add (call $sum (call $a (local.get 0) "
                                          "(local.get 1))) (i64.load8_u (i32.const 0))))"
                                          "(func (export \"loop\") (param i64 i64) (result "
                                          "i64) (local i64)"
                                          " (loop $l (local.set 2 (i64.add (local.get 2) (call "
                                          "$sum (call $s0 (local.get 0) (local.get 1)))))"
                                          "  (br_if $l (i64.lt_u (local.tee 1 (i64.add "
                                          "(local.get 1) (i64.const 1))) (i64.const 60))))"
                                          " (local.get 2)))",
        "(module # (table $t (export \"table\") 6 funcref) (elem (i32.const 1) func $b)"
        "(elem (i32.const 3) func $c) (elem (i32.const 5) func $a)" SHAPES("@", "", "") ")");
    static const char *const names[] = {"steps", "mixed", "slow mixed", "loop"};
    assert_true(compiled(&p, "steps") && compiled(&p, "mixed") && compiled(&p, "loop"));
    assert_false(compiled(&p, "slow mixed"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint64_t n = 0; n < 30; n++) same(&p, names[i], n, n % 7);
    for (size_t i = 0; i < 3; i++) same(&p, names[i], LONG, 1);
    close_pair(&p);
}

/* Frames in between are passed by traps and exceptions, and the instance in front of them is known. */
static void traps_and_exceptions_pass_frames_in_between(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"far\" (func $far (param " ARGS_9 ") " RESULTS
        ")) (import \"\" \"e\" (tag $e (param "
        "i64)))"
        "(memory 1) (data (i32.const 0) \"\\0b\")"
        "(func $go (param i64 i64) " RESULTS " (return_call $far (local.get 0) (local.get 1)" GETS_9 "))"
        "(func (export \"f\") (param i64 i64) (result i64) (local i64 i64)"
        " (local.set 2 (i64.mul (local.get 1) (i64.const 7))) (local.set 3 (i64.add (local.get 0) (i64.const "
        "9)))"
        " (block $h (result i64) (try_table (catch $e $h) (call $go (local.get 0) (local.get 1))"
        "   drop drop drop (return (i64.add (i64.add (local.get 2) (local.get 3)))))"
        "  unreachable)"
        " (return (i64.add (i64.add (local.get 2) (i64.load8_u (i32.const 0))) (i64.add (local.get 3))))))",
        "(module (tag $e (export \"e\") (param i64)) (memory 1) (data (i32.const 0) \"\\07\")"
        "(func $many (param i64 i64 v128 " ARGS_9 " " ARGS_F ") " RESULTS
        " (if (i64.eq (local.get 0) (i64.const 1)) (then unreachable))"
        " (if (i64.eq (local.get 0) (i64.const 2)) (then (throw $e (i64.add (local.get 11) (i64.load8_u "
        "(i32.const "
        "0))))))"
        " (if (i64.eq (local.get 0) (i64.const 3)) (then (i64.store (i32.const -1) (i64.const 0))))"
        " (local.get 1) (f64.const 1) (i64.const 5) (local.get 2))"
        "(func (export \"far\") (param " ARGS_9 ") " RESULTS
        " (return_call $many (local.get 0) (local.get 8) (v128.const i64x2 3 4) (local.get 1) (local.get "
        "2)" GETS_9 FLOATS ")))");
    assert_true(compiled(&p, "f"));
    for (int round = 0; round < 3; round++)
        for (uint64_t n = 0; n < 5; n++) same(&p, "f", n, 100);
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreted_and_compiled_functions_call_each_other),
        cmocka_unit_test(two_instances_call_each_other),
        cmocka_unit_test(compiled_functions_of_two_instances_call_each_other),
        cmocka_unit_test(arguments_of_any_number_pass_between_instances),
        cmocka_unit_test(traps_and_exceptions_pass_frames_in_between),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
