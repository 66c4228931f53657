/* tests/jit/hoist_test.c: what a loop computes anew in every turn is computed in front of it; nobody sees it. */
#include "tests/jit/pair.h"

/* ---- where things stand ---- */

struct shown {
    char text[1 << 16];
};
static bool wants(void *context, const struct rt_module *module, uint32_t func) {
    (void)context, (void)module;
    return func == 0;
}
static void show(void *context, const struct rt_module *module, uint32_t func, uint32_t loop,
                 const char *text, size_t n_bytes) {
    struct shown *s = context;
    (void)module, (void)func;
    assert_true(n_bytes < sizeof s->text);
    if (loop != BC_NONE) return;
    memcpy(s->text, text, n_bytes);
    s->text[n_bytes] = 0;
}

/* How many loops are around the operation in function 0, which has it once, when values have moved; -1: it has none. */
static int depth_of(const char *text, const char *operation) {
    static struct shown s;
    struct world w;
    struct rt_code_viewer viewer = {
        .stages = 1u << JIT_STAGE_SPLIT, .context = &s, .wants = wants, .show = show};
    char wanted[64];
    int depth = -1, found = -1;
    s.text[0] = 0;
    snprintf(wanted, sizeof wanted, " %s ", operation);
    open_world(&w, &(struct rt_config){.tier = &jit_tier, .viewer = &viewer}, NULL);
    start(&w, text, NULL);
    close_world(&w);
    for (char *line = strtok(s.text, "\n"); line; line = strtok(NULL, "\n")) {
        sscanf(line, "  block %*u (depth %d", &depth);
        char *at = strstr(line, wanted);
        if (!at) continue;
        assert_int_equal(found, -1);
        found = depth;
    }
    return found;
}

/* A loop in a loop, `a` and `b` do not change, with `body` in the inner one. */
#define LOOPS(body)                                                                                          \
    "(func (export \"f\") (param $n i32) (param $a i32) (result i32)"                                        \
    " (local $i i32) (local $k i32) (local $sum i32) (local $wide i64) (local $x f64)"                       \
    " (loop $outer (local.set $k (i32.const 7))"                                                             \
    "  (loop $inner " body " (br_if $inner (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))"          \
    "  (br_if $outer (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))"      \
    " (i32.add (local.get $sum) (i32.wrap_i64 (i64.add (local.get $wide) (i64.reinterpret_f64 (local.get "   \
    "$x))))))"
#define ADD(value) "(local.set $sum (i32.add (i32.rotl (local.get $sum) (i32.const 3)) " value "))"

static void runs_alike(const char *text) {
    struct pair p;
    open_pair(&p, text, NULL);
    assert_true(compiled(&p, "f"));
    for (uint64_t n = 0; n < 6; n++)
        for (uint64_t a = 0; a < 5; a++) same(&p, "f", n, a == 4 ? 0xFFFFFFF0 : a * 0x10003);
    close_pair(&p);
}

struct row {
    const char *text, *operation;
    int depth;
};
static void all_stand(const struct row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int depth = depth_of(rows[i].text, rows[i].operation);
        if (depth != rows[i].depth)
            fail_msg("%zu: %s in %d loops, not %d", i, rows[i].operation, depth, rows[i].depth);
        runs_alike(rows[i].text);
    }
}
#define ROWS(rows) rows, sizeof(rows) / sizeof *(rows)

/* ---- values ---- */

static void a_value_leaves_the_loops_that_do_not_change_it(void **state) {
    static const struct row rows[] = {
        {"(module " LOOPS(ADD("(i32.mul (local.get $a) (local.get $n))")) ")", "i32.mul", 0},
        {"(module " LOOPS(ADD("(i32.mul (local.get $a) (local.get $i))")) ")", "i32.mul", 1},
        {"(module " LOOPS(ADD("(i32.mul (local.get $a) (local.get $k))")) ")", "i32.mul", 2},
        {"(module " LOOPS(ADD("(i32.xor (i32.mul (local.get $a) (local.get $n)) (local.get $a))")) ")",
         "i32.xor", 0},
        {"(module " LOOPS(ADD("(i32.div_u (local.get $a) (i32.const 1000))")) ")", "i64.mul", 0},
    };
    (void)state;
    all_stand(ROWS(rows));
}

/* What the instruction behind takes in for nothing has no reason to move. */
static void what_its_user_takes_in_stays(void **state) {
    static const struct row rows[] = {
        {"(module " LOOPS(
             "(if (i32.lt_s (local.get $a) (local.get $n)) (then " ADD("(local.get $k)") "))") ")",
         "i32.lt_s", 2},
        {"(module " LOOPS(ADD("(i32.add (local.get $k) (i32.shl (local.get $a) (i32.const 2)))")) ")",
         "i32.shl", 2},
    };
    (void)state;
    all_stand(ROWS(rows));
}

static void what_only_some_turns_go_past_stays_unless_it_is_dear(void **state) {
#define SOMETIMES(value) "(if (i32.and (local.get $k) (i32.const 2)) (then " ADD(value) "))"
    static const struct row rows[] = {
        {"(module " LOOPS(SOMETIMES("(i32.xor (local.get $a) (local.get $n))")) ")", "i32.xor", 2},
        {"(module " LOOPS(SOMETIMES("(i32.trunc_sat_f64_s (f64.sqrt (f64.convert_i32_u (i32.add (local.get "
                                    "$a) (local.get $i)))))")) ")",
         "f64.sqrt", 2},
        {"(module " LOOPS("(local.set $x (f64.convert_i32_u (local.get $i)))" SOMETIMES(
             "(i32.trunc_sat_f64_s (f64.sqrt (local.get $x)))")) ")",
         "f64.sqrt", 1},
    };
    (void)state;
    all_stand(ROWS(rows));
}

static void constants_that_want_a_register_get_one(void **state) {
    static const struct row rows[] = {
        {"(module " LOOPS(
             "(local.set $wide (i64.xor (i64.add (local.get $wide) (i64.const 0x123456789ABCDEF))"
             " (i64.extend_i32_u (local.get $k))))") ")",
         "HELD", 0},
        {"(module " LOOPS("(local.set $x (f64.div (f64.const 3) (f64.convert_i32_u (local.get $k))))") ")",
         "HELD", 0},
        {"(module " LOOPS("(local.set $wide (i64.add (local.get $wide) (i64.const 7)))") ")", "HELD", -1},
    };
    (void)state;
    all_stand(ROWS(rows));
}

/* ---- what others may change ---- */

static void loads_leave_loops_that_store_nothing(void **state) {
#define MEMORY "(module (memory 1) (data (i32.const 0) \"abcdefghijklmnop\") "
    static const struct row rows[] = {
        {MEMORY LOOPS(ADD("(i32.load16_u (i32.const 4))")) ")", "LOAD.i32.load16_u", 0},
        {MEMORY LOOPS(ADD("(i32.load16_u (i32.const 4))") "(i32.store8 (i32.const 5) (local.get $k))") ")",
         "LOAD.i32.load16_u", 2},
        {MEMORY LOOPS(ADD("(i32.load16_u (i32.const 4))") "(drop (memory.grow (i32.const 0)))") ")",
         "LOAD.i32.load16_u", 2},
        {MEMORY LOOPS(ADD("(i32.load16_u (local.get $a))")) ")", "LOAD.i32.load16_u", 1},
        {MEMORY LOOPS("(if (local.get $sum) (then " ADD("(i32.load16_u (local.get $a))") "))") ")",
         "LOAD.i32.load16_u", 2},
        {"(module (memory 1 1 shared) " LOOPS(ADD("(i32.load16_u (i32.const 4))")) ")", "LOAD.i32.load16_u",
         2},
    };
    (void)state;
    all_stand(ROWS(rows));
}

/* A loop whose test is at its start is one with the test at its end; a test that is known in front of it is not made
 * there. */
static void loops_are_turned_around(void **state) {
#define WHILE(first, test, body)                                                                             \
    MEMORY "(func (export \"f\") (param $n i32) (param $a i32) (result i32) (local $k i32) (local $sum i32)" \
           " (local.set $k " first ") (block $out (loop $l (br_if $out (i32.eqz " test ")) " body            \
           " (local.set $k (i32.add (local.get $k) (i32.const 1))) (br $l))) (local.get $sum)))"
    static const struct row rows[] = {
        {WHILE("(i32.const 0)", "(i32.lt_u (local.get $k) (local.get $n))",
               ADD("(i32.load16_u (local.get $a))")),
         "LOAD.i32.load16_u", 0},
        {WHILE("(i32.const 0)", "(i32.le_s (local.get $k) (i32.const 9))",
               ADD("(i32.load16_u (local.get $a))")),
         "i32.gt_s", 1},
        {WHILE("(local.get $a)", "(i32.lt_u (local.get $k) (i32.const 9))",
               "(if (i32.and (local.get $k) (i32.const 1)) (then " ADD("(i32.load16_u (local.get $a))") "))"),
         "LOAD.i32.load16_u", 1},
    };
    (void)state;
    all_stand(ROWS(rows));
}

static void globals_and_sizes_leave_loops_that_do_not_change_them(void **state) {
#define GLOBALS                                                                                              \
    "(module (memory 1) (table 1 funcref) (global $g (mut i32) (i32.const 5)) (global $h (mut i32) "         \
    "(i32.const 6))"
    static const struct row rows[] = {
        {GLOBALS LOOPS(ADD("(global.get $g)") "(global.set $h (local.get $k))") ")", "GLOBAL_GET", 0},
        {GLOBALS LOOPS(ADD("(global.get $h)") "(global.set $h (local.get $k))") ")", "GLOBAL_GET", 2},
        {GLOBALS LOOPS(ADD("(global.get $g)") "(call $other)") "(func $other (global.set $g (i32.const 9)) "
                                                               "(return_call $last)) (func $last))",
         "GLOBAL_GET", 2},
        {GLOBALS LOOPS(ADD("(memory.size)")) ")", "MEMORY_SIZE", 0},
        {GLOBALS LOOPS(ADD("(memory.size)") "(drop (memory.grow (i32.const 1)))") ")", "MEMORY_SIZE", 2},
        {GLOBALS LOOPS(ADD("(table.size)")) ")", "LOAD.i64.load", 0},
        {GLOBALS LOOPS(ADD("(table.size)") "(drop (table.grow (ref.null func) (i32.const 1)))") ")",
         "LOAD.i64.load", 2},
    };
    (void)state;
    all_stand(ROWS(rows));
}

/* Two imports may be the same global. */
static void imported_globals_may_be_one(void **state) {
    struct pair p;
    (void)state;
    open_pair(
        &p,
        "(module (import \"\" \"g\" (global $g (mut i32))) (import \"\" \"g\" (global $h (mut i32)))" LOOPS(
            ADD("(global.get $g)") "(global.set $h (local.get $k))") ")",
        "(module (global (export \"g\") (mut i32) (i32.const 5)))");
    for (uint64_t n = 0; n < 4; n++) same(&p, "f", n, 0);
    close_pair(&p);
}

/* ---- traps ---- */

/* They come where they came, behind what was stored and not before. */
static void traps_stay_behind_what_came_before_them(void **state) {
    struct pair p;
    uint64_t seen;
    (void)state;
    open_pair(&p,
              "(module (memory 1)"
              " (func (export \"seen\") (param i64 i64) (result i32) (i32.load (i32.const 0)))"
              " (func (export \"behind\") (param i32 i32) (result i32)"
              "  (loop $l (i32.store (i32.const 0) (local.get 0))"
              "   (drop (i32.load (local.get 1))) (drop (i32.div_u (i32.const 9) (local.get 1)))"
              "   (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))) "
              "(i32.const 3))"
              " (func (export \"front\") (param i32 i32) (result i32) (local i32)"
              "  (loop $l (local.set 2 (i32.add (local.get 2) (i32.div_u (i32.const 9) (local.get 1))))"
              "   (local.set 2 (i32.add (local.get 2) (i32.load (local.get 1))))"
              "   (local.set 2 (i32.add (local.get 2) (i32.rem_s (i32.const 9) (local.get 0))))"
              "   (br_if $l (i32.ge_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const -1))))"
              "  (local.get 2))"
              " (func (export \"never\") (param i32 i32) (result i32)"
              "  (loop $l (if (local.get 0) (then (drop (i32.load (local.get 1)))"
              "     (drop (i32.div_u (i32.const 9) (local.get 1)))))"
              "   (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 1))))"
              "  (local.get 0)))",
              NULL);
    static const uint64_t addresses[] = {0, 1, 65532, 65533, 0xFFFFFFFF};
    static const char *const names[] = {"behind", "front", "never"};
    for (size_t f = 0; f < 3; f++)
        for (uint64_t n = 0; n < 4; n++)
            for (size_t a = 0; a < sizeof addresses / sizeof *addresses; a++) {
                same(&p, names[f], n + 1, addresses[a]);
                seen = same(&p, "seen", 0, 0);
                if (f == 0 && a != 1 && a != 2) assert_int_equal(seen, n + 1);
                same(&p, names[f], n, addresses[a]);
            }
    close_pair(&p);
}

/* Null, casts and lengths of what does not change are looked at once; what is stored is seen. */
static void objects_are_looked_at_in_front_of_the_loop(void **state) {
#define OBJECTS(body, more)                                                                                  \
    "(module (type $s (sub (struct (field $c i32) (field $m (mut i32)))))"                                   \
    " (type $t (sub $s (struct (field $c i32) (field $m (mut i32)) (field $d i32))))"                        \
    " (type $v (array (mut i32)))"                                                                           \
    " (func (param $n i32) (param $r (ref null $s)) (param $v (ref null $v)) (result i32)"                   \
    "  (local $k i32) (local $sum i32)"                                                                      \
    "  (loop $l " body                                                                                       \
    "   (br_if $l (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (local.get $n))))"         \
    "  (local.get $sum))"                                                                                    \
    " (func (export \"f\") (param $n i32) (param $a i32) (result i32)"                                       \
    "  (local $r (ref null $s)) (local $v (ref null $v))"                                                    \
    "  (if (i32.and (local.get $n) (i32.const 1))"                                                           \
    "   (then (local.set $r (struct.new $t (i32.const 3) (local.get $a) (i32.const 5))))"                    \
    "   (else (if (i32.and (local.get $n) (i32.const 2))"                                                    \
    "    (then (local.set $r (struct.new $s (i32.const 4) (local.get $a)))))))"                              \
    "  (if (i32.and (local.get $n) (i32.const 5))"                                                           \
    "   (then (local.set $v (array.new $v (local.get $a) (i32.const 3)))))"                                  \
    "  (call 0 (local.get $n) (local.get $r) (local.get $v)))" more ")"
#define SET_FIELD "(struct.set $s $m (local.get $r) (local.get $k))"
    static const struct row rows[] = {
        {OBJECTS(ADD("(struct.get $s $c (local.get $r))"), ""), "NON_NULL", 0},
        {OBJECTS(ADD("(struct.get $s $c (local.get $r))") SET_FIELD, ""), "LOAD.i32.load", 0},
        {OBJECTS(ADD("(struct.get $s $m (local.get $r))"), ""), "LOAD.i32.load", 0},
        {OBJECTS(ADD("(struct.get $s $m (local.get $r))") SET_FIELD, ""), "LOAD.i32.load", 1},
        {OBJECTS(ADD("(struct.get $t $d (ref.cast (ref $t) (local.get $r)))"), ""), "REF_IS", 0},
        {OBJECTS(ADD("(struct.get $t $d (ref.cast (ref $t) (local.get $r)))"), ""), "TRAP_IF", 0},
        {OBJECTS(ADD("(struct.get $t $d (ref.cast (ref $t) (local.get $r)))"), ""), "NON_NULL", 0},
        {OBJECTS(SET_FIELD ADD("(struct.get $t $d (ref.cast (ref $t) (local.get $r)))"), ""), "TRAP_IF", 1},
        {OBJECTS(ADD("(array.len (local.get $v))") SET_FIELD, ""), "LOAD.i32.load", 0},
        {OBJECTS(ADD("(struct.get $s $m (local.get $r))") "(call $other (local.get $k))",
                 "(func $other (param i32) (if (local.get 0)"
                 " (then (call $other (i32.shr_u (local.get 0) (i32.const 1))))))"),
         "LOAD.i32.load", 1},
        {OBJECTS(ADD("(array.get $v (local.get $v) (local.get $k))"), ""), "TRAP_IF", 1},
        {OBJECTS("(if (ref.test (ref $t) (local.get $r)) (then " ADD("(i32.const 2)") "))" ADD(
                     "(array.get $v (local.get $v) (local.get $k))"),
                 ""),
         "REF_IS", 0},
    };
    (void)state;
    all_stand(ROWS(rows));
}

/* ---- other ways in ---- */

/* Code that is entered in the middle has what stands in front of each loop. */
static void loops_are_entered_in_the_middle(void **state) {
    static const char *const ends[] = {"(i32.mul (local.get $a) (local.get $n))",
                                       "(i32.mul (local.get $a) (local.get $i))",
                                       "(i32.xor (i32.mul (local.get $a) (local.get $i)) (global.get $g))",
                                       "(i32.div_u (local.get $a) (i32.add (local.get $i) (i32.const 1)))",
                                       "(i32.load (i32.and (local.get $i) (i32.const 1020)))"};
    char text[4096];
    (void)state;
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
        for (int in = 1; in < 8; in++) {
            snprintf(
                text, sizeof text,
                "(module (memory 1) (global $g (mut i32) (i32.const 5)) (func (export \"f\")"
                " (param $n i32) (param $a i32) (result i32) (local $i i32) (local $j i32) (local $k i32)"
                " (local $sum i32)"
                " (loop $1 (local.set $j (i32.const 0))"
                "  (loop $2 (local.set $k (i32.const 0))"
                "   (loop $3 (br_if $3 (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1)))"
                "    (i32.const 4))))"
                "   (br_if $2 (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get "
                "$n))))"
                "  (local.set $a (i32.add (local.get $a) (local.get $sum))) (global.set $g (local.get $sum))"
                "  (i32.store (i32.const 16) (local.get $sum))"
                "  (br_if $1 (i32.le_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get "
                "$n))))"
                " (local.get $sum)))");
            char *at = text;
            for (int loop = 1; loop < 4; loop++) { /* the value in some of the loops */
                char head[16], add[512], rest[4096];
                snprintf(head, sizeof head, "(loop $%d ", loop);
                if (!(in >> (loop - 1) & 1)) continue;
                at = strstr(text, head) + strlen(head);
                snprintf(add, sizeof add,
                         "(local.set $sum (i32.add (i32.rotl (local.get $sum) (i32.const 3)) %s))", ends[e]);
                snprintf(rest, sizeof rest, "%s", at);
                snprintf(at, (size_t)(text + sizeof text - at), "%s%s", add, rest);
            }
            runs_alike(text);
        }
}

/* Values of the code in front of a loop are there in its handlers, and where these go round. */
static void handlers_are_parts_of_loops(void **state) {
    (void)state;
    runs_alike(
        "(module (tag $e (param i32)) (func $throws (param i32) (result i32)"
        "  (if (i32.and (local.get 0) (i32.const 1)) (then (throw $e (local.get 0)))) (local.get 0))"
        "(func (export \"f\") (param $n i32) (param $a i32) (result i32) (local $sum i32)"
        " (loop $l"
        "  (block $done (local.set $sum (i32.add (local.get $sum) (block $h (result i32)"
        "    (try_table (catch $e $h) (local.set $sum (i32.xor (local.get $sum)"
        "      (i32.mul (call $throws (local.get $n)) (i32.mul (local.get $a) (local.get $a))))) (br $done))"
        "    (i32.const 9))))"
        "   (local.set $sum (i32.add (local.get $sum) (i32.div_u (local.get $a) (i32.const 7))))"
        "   (br_if $l (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))"
        "  (br_if $l (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))"
        " (local.get $sum)))");
}

/* More values than there are registers, and more loops around than anybody writes. */
static void many_values_leave_many_loops(void **state) {
    enum { DEPTH = 60, VALUES = 40 };
    static char text[1 << 16];
    size_t n = 0;
    (void)state;
#define PUT(...) n += (size_t)snprintf(text + n, sizeof text - n, __VA_ARGS__)
    PUT("(module (func (export \"f\") (param $n i32) (param $a i32) (result i32) (local $sum i32) (local $x "
        "f64)");
    for (int i = 0; i < DEPTH; i++) PUT("(local $%d i32)", i);
    for (int i = 0; i < DEPTH; i++) PUT("(loop $%d ", i);
    for (int i = 0; i < VALUES; i++) {
        PUT(ADD("(i32.xor (i32.mul (local.get $a) (i32.const %d)) (local.get $%d))"), 1000 + i, i);
        PUT("(local.set $x (f64.add (local.get $x) (f64.sqrt (f64.convert_i32_u (i32.add (local.get $n)"
            " (i32.const %d))))))",
            i);
    }
    for (int i = DEPTH; i-- > 0;)
        PUT("(br_if $%d (i32.lt_u (local.tee $%d (i32.add (local.get $%d) (i32.const 1))) (i32.const %d))))",
            i, i, i, i % 12 ? 1 : 2);
    PUT("(i32.add (local.get $sum) (i32.trunc_sat_f64_s (local.get $x)))))");
    assert_true(n < sizeof text);
    runs_alike(text);
}

/* Whatever fuel there is, the program ends at the same place. */
static void fuel_is_taken_in_front_of_traps(void **state) {
    static const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};
    static const char text[] =
        "(module (memory 1) (func (export \"f\") (param $n i32) (param $a i32) (result i32) (local $sum i32)"
        " (loop $l (local.set $sum (i32.add (local.get $sum) (i32.div_u (i32.const 1000) (local.get $a))))"
        "  (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $a))))"
        "  (br_if $l (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))"
        " (local.get $sum)))";
    static const uint64_t divisors[] = {0, 3, 70000};
    struct world w[TIERS];
    struct rt_instance *instances[TIERS];
    (void)state;
    for (int i = 0; i < TIERS; i++) {
        open_world(&w[i], &(struct rt_config){.tier = tiers[i], .fuel = true}, NULL);
        instances[i] = start(&w[i], text, NULL);
    }
    for (size_t d = 0; d < 3; d++)
        for (int64_t fuel = 0; fuel < 120; fuel++) {
            enum atoll_status status[TIERS];
            for (int i = 0; i < TIERS; i++) {
                w[i].store->fuel = fuel;
                status[i] = try_call(&w[i], instances[i], "f", 6, divisors[d], 0, NULL);
                assert_int_equal(status[i], status[0]);
                assert_int_equal(w[i].store->fuel, w[0].store->fuel);
                if (status[0]) assert_int_equal(w[i].store->trap, w[0].store->trap);
                if (status[0]) same_frames(w[0].store, w[i].store);
            }
        }
    for (int i = 0; i < TIERS; i++) close_world(&w[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_leaves_the_loops_that_do_not_change_it),
        cmocka_unit_test(what_its_user_takes_in_stays),
        cmocka_unit_test(what_only_some_turns_go_past_stays_unless_it_is_dear),
        cmocka_unit_test(constants_that_want_a_register_get_one),
        cmocka_unit_test(loads_leave_loops_that_store_nothing),
        cmocka_unit_test(loops_are_turned_around),
        cmocka_unit_test(globals_and_sizes_leave_loops_that_do_not_change_them),
        cmocka_unit_test(imported_globals_may_be_one),
        cmocka_unit_test(traps_stay_behind_what_came_before_them),
        cmocka_unit_test(objects_are_looked_at_in_front_of_the_loop),
        cmocka_unit_test(loops_are_entered_in_the_middle),
        cmocka_unit_test(handlers_are_parts_of_loops),
        cmocka_unit_test(many_values_leave_many_loops),
        cmocka_unit_test(fuel_is_taken_in_front_of_traps),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
