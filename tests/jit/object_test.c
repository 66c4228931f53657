/* tests/jit/object_test.c: references are of the same types compiled and interpreted. */
#include "tests/jit/pair.h"

static const char types[] =
    "(type $s (sub (struct))) (type $t (sub $s (struct (field i32)))) (type $u (sub final $s (struct (field "
    "i64))))"
    "(type $a (array i8)) (type $f (sub (func (result i32)))) (type $g (sub $f (func (result i32))))";

/* A reference of the host's, as its functions give it: any word like this. */
#define HOSTS 4096

struct text {
    char *bytes;
    size_t n, room;
};
static void add(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    t->n += (size_t)vsnprintf(t->bytes + t->n, t->room - t->n, format, args);
    va_end(args);
    assert_true(t->n < t->room);
}

/* Three bits: what a test says, and whether the branches are taken. */
static void add_tests(struct text *t, const char *any, const char *type) {
    add(t,
        "(local.set $n (i64.or (i64.shl (local.get $n) (i64.const 1))"
        " (i64.extend_i32_u (ref.test %s (local.get $r)))))",
        type);
    add(t,
        "(local.set $n (i64.shl (local.get $n) (i64.const 1)))"
        "(block $not (drop (block $is (result %s) (drop (br_on_cast $is %s %s (local.get $r))) (br $not)))"
        " (local.set $n (i64.or (local.get $n) (i64.const 1))))",
        type, any, type);
    add(t,
        "(local.set $n (i64.shl (local.get $n) (i64.const 1)))"
        "(block $is (drop (block $not (result %s) (drop (br_on_cast_fail $not %s %s (local.get $r))) (br "
        "$is)))"
        " (local.set $n (i64.or (local.get $n) (i64.const 1))))",
        any, any, type);
}

/* Exports `name`, with all tests in its result, and `name` 0, 1 ...: casts. What is looked at comes from $pick_<name>. */
static void add_hierarchy(struct text *t, const char *name, const char *any, const char *const *heaps,
                          size_t n) {
    char type[32];
    add(t,
        "(func (export \"%s\") (param i32 externref) (result i64) (local $n i64) (local $r %s)"
        "(local.set $r (call $pick_%s (local.get 0) (local.get 1)))",
        name, any, name);
    for (size_t i = 0; i < 2 * n; i++) {
        snprintf(type, sizeof type, "(ref %s %s)", i & 1 ? "null" : "", heaps[i / 2]);
        add_tests(t, any, type);
    }
    add(t, "(local.get $n))");
    for (size_t i = 0; i < 2 * n; i++)
        add(t,
            "(func (export \"%s %zu\") (param i32 externref) (result i32)"
            "(ref.is_null (ref.cast (ref %s %s) (call $pick_%s (local.get 0) (local.get 1)))))",
            name, i, i & 1 ? "null" : "", heaps[i / 2], name);
}

static void compare(struct pair *p, const char *name, size_t n_casts, uint64_t n_values) {
    char cast[32];
    assert_true(compiled(p, name));
    for (uint64_t value = 0; value < n_values; value++)
        for (int again = 0; again < 3; again++) same(p, name, value, HOSTS);
    for (size_t i = 0; i < n_casts; i++) {
        snprintf(cast, sizeof cast, "%s %zu", name, i);
        assert_true(compiled(p, cast));
        for (uint64_t value = 0; value < n_values; value++) same(p, cast, value, HOSTS);
    }
}

static void tests_and_casts_agree_on_every_type(void **state) {
    static const char *const any[] = {"any", "eq", "i31", "struct", "array", "none", "$s", "$t", "$u", "$a"};
    static const char *const func[] = {"func", "nofunc", "$f", "$g"}, *const ext[] = {"extern", "noextern"};
    struct text t = {.room = 1 << 16, .bytes = malloc(1 << 16)};
    struct pair p;
    (void)state;
    assert_non_null(t.bytes);
    add(&t,
        "(module %s (func $f (type $f) (i32.const 1)) (func $g (type $g) (i32.const 2))"
        "(func $h (param i64)) (elem declare func $f $g $h)",
        types);
    add(&t, "(func $pick_any (param i32 externref) (result anyref)"
            " (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1"
            " (br_table $1 $2 $3 $4 $5 $6 $7 (local.get 0)))"
            " (return (ref.null any))) (return (ref.i31 (i32.const 5)))) (return (struct.new $s)))"
            " (return (struct.new $t (i32.const 1)))) (return (struct.new $u (i64.const 1))))"
            " (return (array.new_default $a (i32.const 3)))) (any.convert_extern (local.get 1)))"
            "(func $pick_func (param i32 externref) (result funcref)"
            " (if (i32.eqz (local.get 0)) (then (return (ref.null func))))"
            " (if (i32.eq (local.get 0) (i32.const 1)) (then (return (ref.func $f))))"
            " (if (i32.eq (local.get 0) (i32.const 2)) (then (return (ref.func $g)))) (ref.func $h))"
            "(func $pick_extern (param i32 externref) (result externref)"
            " (if (i32.eqz (local.get 0)) (then (return (ref.null extern))))"
            " (if (i32.eq (local.get 0) (i32.const 1)) (then (return (extern.convert_any (struct.new $s)))))"
            " (local.get 1))");
    add_hierarchy(&t, "any", "anyref", any, 10);
    add_hierarchy(&t, "func", "funcref", func, 4);
    add_hierarchy(&t, "extern", "externref", ext, 2);
    add(&t, ")");
    open_pair(&p, t.bytes, NULL);
    compare(&p, "any", 20, 7);
    compare(&p, "func", 8, 4);
    compare(&p, "extern", 4, 3);
    close_pair(&p);
    free(t.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_and_casts_agree_on_every_type),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
