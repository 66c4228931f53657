/* tests/jit/atomic_test.c: every atomic access does the same compiled and interpreted: results, memory, traps. */
#include <stdarg.h>
#include "tests/jit/pair.h"

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

/* Where operands come from: parameters, constants that fit what is accessed or do not; plain memory or one with checks;
 * an offset that makes even addresses odd; one that no displacement holds; addresses of 64 bits, whose sum with the
 * offset may not fit. */
enum { WAYS = 9, WIDE_WAY = 7 };
static const char *const memarg[WAYS] = {"",
                                         "",
                                         "",
                                         "1 ",
                                         "1 offset=8 ",
                                         "offset=1 ",
                                         "offset=0x80000008 ",
                                         "2 offset=8 ",
                                         "2 offset=0xfffffffffffffff8 "};

static void add_operand(struct text *t, int way, char type, int number) {
    static const char *const small[] = {"", "0x5a", "0x3c"}, *const large[] = {"", "-2", "0x12345678"};
    if (way == 1 || way == 2)
        add(t, " (%s.const %s)", type == 'i' ? "i32" : "i64", (way == 1 ? small : large)[number]);
    else if (type == 'i')
        add(t, " (i32.wrap_i64 (local.get %d))", number);
    else
        add(t, " (local.get %d)", number);
}

/* The function's own values are in registers around the instruction, rax among them. */
static void add_function(struct text *t, const struct bc_op_info *op, int way) {
    const char *operands = op->signature + 1, *colon = strchr(op->signature, ':');
    bool gives = colon[1];
    add(t, "(func (export \"%s %d\") (param i32 i64) (result i64) (local i64 i64 i64 i64)", op->text, way);
    add(t, "(local.set 2 (i64.mul (local.get 1) (i64.const 0x9E3779B97F4A7C15)))");
    add(t, "(local.set 3 (i64.rotl (local.get 1) (i64.const 7))) (local.set 4 (i64.extend_i32_u (local.get "
           "0)))");
    if (gives) add(t, "(local.set 5 %s", colon[1] == 'i' ? "(i64.extend_i32_u " : "");
    add(t, "(%s %s(%slocal.get 0)", op->text, memarg[way], way >= WIDE_WAY ? "i64.extend_i32_s (" : "");
    if (way >= WIDE_WAY) add(t, ")");
    for (int k = 1; operands + k - 1 < colon; k++) add_operand(t, way, operands[k - 1], k);
    add(t, ")%s", !gives ? "" : colon[1] == 'i' ? "))" : ")");
    add(t, "(i64.add (i64.xor (local.get 2) (local.get 3)) (i64.sub (i64.mul (local.get 5) (i64.const 31))"
           " (i64.add (local.get 4) (local.get 1)))))");
}

/* Operands that the builder takes for variables, since the loop writes them, though what it writes is what they are. */
static void add_late_constants(struct text *t, const char *op) {
    add(t,
        "(func (export \"late %s\") (param i32 i64) (result i64) (local $at i32) (local $x i64) (local $old "
        "i64)",
        op);
    add(t,
        "(local.set $at (i32.const 128)) (local.set $x (i64.const 0x381cd9b5d2))"
        "(loop $l (local.set $old (i64.add (i64.rotl (local.get $old) (i64.const 3))"
        "  (i64.atomic.rmw.%s offset=8 (local.get $at) (local.get $x)%s)))"
        " (local.set $at (local.get $at)) (local.set $x (local.get $x)) (i64.atomic.store (local.get $at) "
        "(local.get $x))"
        " (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
        "(i64.add (local.get $old) (i64.add (i64.load (local.get $at)) (i64.load offset=8 (local.get "
        "$at)))))",
        op, strcmp(op, "cmpxchg") ? "" : " (i64.sub (local.get $x) (i64.const 1))");
}
static const char *const changes[] = {"add", "sub", "and", "or", "xor", "xchg", "cmpxchg"};

/* What is expected is what is there. */
static void add_swap(struct text *t, int width) {
    const char *type = bc_op_infos[BC_I32_ATOMIC_RMW_CMPXCHG + width].text[1] == '3' ? "i32" : "i64";
    add(t, "(func (export \"swap %d\") (param i32 i64) (result i64) (i64.store (local.get 0) (local.get 1))",
        width);
    add(t, "(drop (%s (local.get 0) (%s (local.get 0)) (%s.const -77))) (i64.load (local.get 0)))",
        bc_op_infos[BC_I32_ATOMIC_RMW_CMPXCHG + width].text, bc_op_infos[BC_I32_ATOMIC_LOAD + width].text,
        type);
}

static void run(struct pair *p, const struct bc_op_info *op, int way) {
    static const uint64_t values[] = {
        0, 0x5A, 0xFF, 0x100, 0x8000, 0xFFFF5A, UINT64_C(0x80000000000000FE), UINT64_MAX};
    static const uint32_t addresses[] = {0, 1, 2, 7, 8, 12, 65528, 65532, 65535, 65536, UINT32_MAX};
    char name[64];
    snprintf(name, sizeof name, "%s %d", op->text, way);
    assert_true(compiled(p, name));
    for (size_t a = 0; a < sizeof addresses / sizeof *addresses; a++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            same(p, name, addresses[a], values[v]);
            same(p, name, addresses[a], v & 1 ? values[v] : values[a % 8]); /* perhaps what lies there now */
        }
    same(p, "memory", 0, 0);
}

static void atomics_do_the_same(void **state) {
    struct text t = {.room = 1 << 20, .bytes = malloc(1 << 20)};
    struct pair p;
    (void)state;
    assert_non_null(t.bytes);
    add(&t, "(module (memory 1 1 shared) (memory 1 1 shared) (memory i64 1 1 shared) (data (i32.const 0) "
            "\"\\5a\\5a\\00\\01\\ff\\ff\\ff\\ff\")");
    for (int op = BC_I32_ATOMIC_LOAD; op <= BC_I64_ATOMIC_RMW32_CMPXCHG_U; op++)
        for (int way = 0; way < WAYS; way++) add_function(&t, bc_op_infos + op, way);
    for (int width = 0; width < 7; width++) add_swap(&t, width);
    for (int k = 0; k < 7; k++) add_late_constants(&t, changes[k]);
    add(&t, "(func (export \"memory\") (param i32 i64) (result i64) (local i64)"
            "(loop $l (local.set 2 (i64.add (i64.rotl (local.get 2) (i64.const 9))"
            "  (i64.xor (i64.load (local.get 0)) (i64.xor (i64.load 1 (local.get 0))"
            "    (i64.load 2 (i64.extend_i32_u (local.get 0)))))))"
            " (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 8))) (i32.const 65536))))"
            " (local.get 2)))");
    open_pair(&p, t.bytes, NULL);
    for (int op = BC_I32_ATOMIC_LOAD; op <= BC_I64_ATOMIC_RMW32_CMPXCHG_U; op++)
        for (int way = 0; way < WAYS; way++) run(&p, bc_op_infos + op, way);
    for (int k = 0; k < 7; k++) {
        char name[16];
        snprintf(name, sizeof name, "late %s", changes[k]);
        assert_true(compiled(&p, name));
        for (uint64_t n = 1; n < 5; n++) same(&p, name, n, 0);
    }
    for (int width = 0; width < 7; width++) {
        char name[16];
        uint64_t mask = UINT64_MAX >> (64 - 8 * bc_op_infos[BC_I32_ATOMIC_LOAD + width].access);
        snprintf(name, sizeof name, "swap %d", width);
        assert_int_equal(same(&p, name, 64, UINT64_C(0x123456789ABCDEF)),
                         (UINT64_C(0x123456789ABCDEF) & ~mask) | (UINT64_C(-77) & mask));
    }
    close_pair(&p);
    free(t.bytes);
}

/* Constant addresses that no displacement holds, and one that is none until a loop has been looked at. */
static void far_constant_addresses_do_the_same(void **state) {
    static const char *const far[] = {"0x80000000", "0xF0000000", "0xFFFFFFF8"};
    struct text t = {.room = 1 << 18, .bytes = malloc(1 << 18)};
    struct pair p;
    (void)state;
    assert_non_null(t.bytes);
    add(&t, "(module (memory 62000 62000 shared)");
    for (int a = 0; a < 3; a++)
        for (int k = 0; k < 7; k++) {
            const char *second = k == 6 ? "(i64.const 5)" : "";
            add(&t, "(func (export \"%s %d\") (param i32 i64) (result i64) (local i64)", changes[k], a);
            add(&t, "(i64.atomic.store offset=16 (i32.const %s) (local.get 1))", far[a]);
            add(&t, "(local.set 2 (i64.atomic.rmw.%s offset=16 (i32.const %s) (i64.const 0x5a) %s))",
                changes[k], far[a], second);
            add(&t,
                "(local.set 2 (i64.mul (local.get 2) (i64.extend_i32_u (i32.atomic.rmw16.%s_u offset=18"
                " (i32.const %s) (local.get 0) %s))))",
                changes[k], far[a], k == 6 ? "(i32.const 9)" : "");
            add(&t,
                "(i64.add (local.get 2) (i64.rotl (i64.atomic.load offset=16 (i32.const %s)) (local.get "
                "2))))",
                far[a]);
        }
    for (int k = 0; k < 7; k++) {
        add(&t, "(func (export \"late %s\") (param i32 i64) (result i64) (local $at i32) (local $old i64)",
            changes[k]);
        add(&t,
            "(local.set $at (i32.const 0x9000_0000)) (loop $l (local.set $old (i64.add (local.get $old)"
            " (i64.atomic.rmw.%s (local.get $at) (local.get 1) %s))) (local.set $at (local.get $at))"
            " (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get $old))",
            changes[k], k == 6 ? "(i64.const 5)" : "");
    }
    add(&t, ")");
    open_pair(&p, t.bytes, NULL);
    for (int k = 0; k < 7; k++) {
        char name[32];
        for (int a = 0; a < 3; a++) {
            snprintf(name, sizeof name, "%s %d", changes[k], a);
            assert_true(compiled(&p, name));
            same(&p, name, 3, UINT64_C(0x123456789ABCDEF));
            same(&p, name, 0x5A, 0x5A);
            same(&p, name, 0, 0x5A);
        }
        snprintf(name, sizeof name, "late %s", changes[k]);
        assert_true(compiled(&p, name));
        same(&p, name, 4, 0);
        same(&p, name, 3, 7);
    }
    close_pair(&p);
    free(t.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(atomics_do_the_same),
        cmocka_unit_test(far_constant_addresses_do_the_same),
    };
    install_fault_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
