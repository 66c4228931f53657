/* tests/stdlib/native_lifetime_test.c: how long handles and callbacks live, and what happens behind that. */
#include <dlfcn.h>
#include "tests/stdlib/native_host.h"

static const char prototypes[] =
    "library \"" NATIVE_LIBRARY "\"; module \"n\";\n"
    "handle tree; handle leaf; callback int visit(int i, void *data data);\n"
    "tree *tree_new(void); leaf *leaf_new(tree *t, int value) owner(t);\n"
    "int leaf_out(tree *t, leaf **l out owner(t)); int leaf_value(leaf *l); leaf *leaf_below(leaf *l) "
    "owner(l);\n"
    "void leaf_free(leaf *l destroy); int tree_close(tree *t destroy when 0);\n"
    "int tree_drop(tree *t destroy); int leaf_each(leaf *l, visit f, void *data data);\n"
    "void keep(visit f persistent); int call_kept(void); int on_thread(visit f, void *data data);\n";

#define IMPORTS                                                                                              \
    "(import \"n\" \"tree_new\" (func $tree (result externref)))"                                            \
    "(import \"n\" \"leaf_new\" (func $leaf (param externref i32) (result externref)))"                      \
    "(import \"n\" \"leaf_out\" (func $leaf_out (param externref) (result i32 externref)))"                  \
    "(import \"n\" \"leaf_below\" (func $below (param externref) (result externref)))"                       \
    "(import \"n\" \"leaf_value\" (func $value (param externref) (result i32)))"                             \
    "(import \"n\" \"leaf_free\" (func $free (param externref)))"                                            \
    "(import \"n\" \"tree_close\" (func $close (param externref) (result i32)))"                             \
    "(import \"n\" \"tree_drop\" (func $drop (param externref) (result i32)))"                               \
    "(import \"n\" \"leaf_each\" (func $each (param externref funcref i32) (result i32)))"                   \
    "(import \"n\" \"keep\" (func $keep (param funcref)))"                                                   \
    "(import \"n\" \"call_kept\" (func $call_kept (result i32)))"                                            \
    "(import \"n\" \"on_thread\" (func $on_thread (param funcref i32) (result i32)))"

static const char guest[] =
    "(module " IMPORTS "(global $t (mut externref) (ref.null extern)) (global $l (mut externref) (ref.null "
    "extern)) (global $old (mut externref) (ref.null extern))"
    "(elem declare func $ends $seven $add)"
    "(func $ends (param i32 i32) (result i32) (call $drop (global.get $t)))"
    "(func $seven (param i32 i32) (result i32) (i32.const 7))"
    "(func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"
    "(func $plant (global.set $t (call $tree)) (global.set $l (call $leaf (global.get $t) (i32.const 4))))"
    "(func (export \"busy\") (result i32) (local $busy i32) (call $plant)"
    "  (local.set $busy (call $close (global.get $t)))"
    "  (local.set $busy (i32.add (local.get $busy) (call $value (global.get $l))))" /* both live on */
    "  (call $free (global.get $l)) (i32.add (local.get $busy) (call $close (global.get $t))))"
    "(func (export \"closed\") (result i32) (call $close (global.get $t)))"
    "(func (export \"freed\") (result i32) (call $value (global.get $l)))"
    "(func (export \"orphan\") (result i32) (call $plant) (drop (call $drop (global.get $t)))"
    "  (call $value (global.get $l)))"
    "(func (export \"orphan out\") (result i32) (global.set $t (call $tree)) (call $leaf_out (global.get $t))"
    "  (global.set $l) (drop) (drop (call $value (global.get $l))) (drop (call $drop (global.get $t)))"
    "  (call $value (global.get $l)))"
    "(func (export \"grandchild\") (result i32) (call $plant)"
    "  (global.set $old (call $below (call $below (global.get $l)))) (drop (call $value (global.get $old)))"
    "  (drop (call $drop (global.get $t))) (call $value (global.get $old)))"
    "(func (export \"in use\") (result i32) (call $plant)"
    "  (call $each (global.get $l) (ref.func $ends) (i32.const 0)))"
    /* a chain of owners, each below the one before, then the end of all */
    "(func (export \"chain\") (param $n i32) (result i32) (call $plant) (global.set $old (global.get $l))"
    "  (loop $more (global.set $l (call $below (global.get $l)))"
    "    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    "  (drop (call $value (global.get $l))) (call $free (global.get $old)) (call $drop (global.get $t)))"
    /* the first of many at the same node: it stays dead */
    "(func (export \"again\") (param $n i32) (result i32) (call $plant) (global.set $old (global.get $l))"
    "  (call $free (global.get $l))"
    "  (loop $more (global.set $l (call $leaf (global.get $t) (local.get $n)))"
    "    (drop (call $value (global.get $l))) (call $free (global.get $l))"
    "    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    "  (call $value (global.get $old)))"
    "(func (export \"keep\") (call $keep (ref.func $seven)))"
    "(func (export \"kept\") (result i32) (call $call_kept))"
    "(func (export \"thread\") (result i32) (call $on_thread (ref.func $seven) (i32.const 0)))"
    "(func (export \"each\") (param i32) (result i32) (call $plant)"
    "  (call $each (global.get $l) (ref.func $add) (local.get 0))))";

static int open_all(void **state) {
    static struct host host;
    open_guest(*state = &host, prototypes, guest);
    return 0;
}
static int close_all(void **state) {
    close_store(*state);
    return 0;
}

static void a_failed_destruction_leaves_the_handle(void **state) {
    gives(*state, "busy", 0, 0, 5 + 4 + 0);
    traps(*state, "closed", 0, 0, "was destroyed");
    traps(*state, "freed", 0, 0, "was destroyed");
}

static void children_die_with_their_owner(void **state) {
    traps(*state, "orphan", 0, 0, "was destroyed");
    traps(*state, "orphan out", 0, 0, "was destroyed");
    traps(*state, "grandchild", 0, 0, "was destroyed");
    traps(*state, "in use", 0, 0, "or one that it owns, is in use");
    gives(*state, "chain", 30000, 0, 0);
}

static void dead_handles_are_used_again_and_stay_dead(void **state) {
    struct host *h = *state;
    traps(h, "again", 200000, 0, "was destroyed"); /* more often than a node has generations */
    gives(h, "each", 38, 0, 42);
}

static void persistent_callbacks_outlive_their_call_only_inside_calls(void **state) {
    struct host *h = *state;
    gives(h, "keep", 0, 0, 0);
    gives(h, "kept", 0, 0, 7);
    gives(h, "kept", 0, 0, 7);
    int (*outside)(void) = NULL;
    void *library = dlopen(NATIVE_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    *(void **)&outside = dlsym(library, "call_kept");
    assert_int_equal(outside(), 0); /* C calls while the program is not in a call of the library */
    native_free(h->native);
    h->native = NULL;
    assert_int_equal(outside(), 0); /* and behind its end, as long as somebody has the library loaded */
    dlclose(library);
}

static void other_threads_do_not_run_the_program(void **state) {
    gives(*state, "thread", 0, 0, 0);
    gives(*state, "thread", 0, 0, 0);
}

/* Libraries do not know each other's handles, though their nodes are numbered alike. */
static void a_handle_belongs_to_its_library(void **state) {
    struct host *h = *state, other;
    uint64_t mine;
    open_guest(&other, prototypes, guest);
    gives(h, "each", 1, 0, 5);
    gives(&other, "each", 1, 0, 5);
    static const char peek[] = "(module (import \"n\" \"tree_new\" (func $t (result externref)))"
                               "(export \"make\" (func $t)))";
    struct rt_module *module;
    struct rt_instance *instance;
    assert_int_equal(
        rt_module_load(h->engine, (const uint8_t *)peek, strlen(peek), false, "peek", &module, &h->err), 0);
    assert_int_equal(rt_instantiate(h->store, module, native_resolve, h->native, &instance, &h->err), 0);
    rt_module_unref(module);
    struct rt_instance *before = h->instance;
    h->instance = instance;
    assert_int_equal(call(h, "make", 0, 0, &mine), ATOLL_OK);
    h->instance = before;
    static const char use[] = "(module (import \"n\" \"tree_close\" (func $c (param externref) (result i32)))"
                              "(export \"close\" (func $c)))";
    assert_int_equal(
        rt_module_load(other.engine, (const uint8_t *)use, strlen(use), false, "use", &module, &other.err),
        0);
    assert_int_equal(
        rt_instantiate(other.store, module, native_resolve, other.native, &other.instance, &other.err), 0);
    rt_module_unref(module);
    traps(&other, "close", mine, 0, "no handle of this library");
    traps(&other, "close", mine & ~(UINT64_C(1) << 63), 0, "no handle of this library");
    traps(&other, "close", 0x7fff0000, 0, "no handle of this library");
    close_store(&other);
}

int main(void) {
#define GUEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)
    const struct CMUnitTest tests[] = {
        GUEST(a_failed_destruction_leaves_the_handle),
        GUEST(children_die_with_their_owner),
        GUEST(dead_handles_are_used_again_and_stay_dead),
        GUEST(persistent_callbacks_outlive_their_call_only_inside_calls),
        GUEST(other_threads_do_not_run_the_program),
        GUEST(a_handle_belongs_to_its_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
