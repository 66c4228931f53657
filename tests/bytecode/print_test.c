/* tests/bytecode/print_test.c: what printed modules look like, and that they assemble to the same bytes. */
#include "tests/bytecode/module_builder.h"

static void assemble(const char *text, size_t n, struct bc_buf *bytes) {
    struct atoll_error err = {0};
    bc_buf_init(bytes, &atoll_default_alloc);
    if (bc_text_assemble(text, n, NULL, bytes, NULL, &err)) fail_msg("%s (line %u)", err.text, err.line);
}

/* The text of a module's bytes, with a final NUL. */
static void print(const struct bc_buf *bytes, struct bc_print_options options, struct bc_buf *text) {
    struct bc_module *m = NULL;
    bc_buf_init(text, &atoll_default_alloc);
    assert_int_equal(bc_module_decode(bytes->data, bytes->size, NULL, &m, NULL), ATOLL_OK);
    assert_int_equal(bc_text_print(m, &options, text, NULL), ATOLL_OK);
    bc_buf_u8(text, 0);
    assert_false(text->failed);
    bc_module_free(m);
}

/* Printed, `source` holds `part` and assembles to the bytes that `source` itself does. */
static void shows_with(const char *source, struct bc_print_options options, const char *part) {
    struct bc_buf bytes, text, again;
    assemble(source, strlen(source), &bytes);
    print(&bytes, options, &text);
    if (!strstr((const char *)text.data, part)) fail_msg("no\n%s\nin\n%s", part, (const char *)text.data);
    assemble((const char *)text.data, text.size - 1, &again);
    assert_int_equal(again.size, bytes.size);
    assert_memory_equal(again.data, bytes.data, bytes.size);
    bc_buf_fini(&bytes);
    bc_buf_fini(&text);
    bc_buf_fini(&again);
}
static void shows(const char *source, const char *part) {
    shows_with(source, (struct bc_print_options){0}, part);
}
static void folds(const char *source, const char *part) {
    shows_with(source, (struct bc_print_options){.fold = true}, part);
}

static void types_keep_groups_and_supertypes(void **state) {
    (void)state;
    shows("(module (rec (type $p (sub (struct (field $x (mut i32)) (field i8))))"
          " (type $q (sub final $p (struct (field (mut i32)) (field i8) (field (ref null $q)))))))",
          "  (rec\n"
          "    (type $p (;0;) (sub (struct (field $x (mut i32)) (field i8))))\n"
          "    (type $q (;1;) (sub final $p (struct (field (mut i32)) (field i8) (field (ref null $q))))))");
}

static void fields_stand_apart_with_names_and_numbers(void **state) {
    (void)state;
    const char *source = "(module $m (func $f (export \"f\") (import \"env\" \"f\")) (memory $mem 1 2) "
                         "(table $t 1 funcref (ref.null func))"
                         "  (data $d (i32.const 8) \"hi\\00\\ff\")"
                         " (elem $el func $f))";
    shows(source, "(module $m\n");
    shows(source, "(import \"env\" \"f\" (func $f (;0;) (type 0)))");
    shows(source, "(export \"f\" (func $f))");
    shows(source, "(table $t (;0;) 1 funcref (ref.null func))");
    shows(source, "(data $d (;0;) (i32.const 8) \"hi\\00\\ff\")");
    shows(source, "(elem $el (;0;) func $f)");
}

static void custom_sections_keep_their_places(void **state) {
    (void)state;
    shows("(module (@custom \"note\" (after type) \"x\\01\") (type (func)))",
          "(@custom \"note\" (after type) \"x\\01\")");
}

static void names_that_are_no_identifiers_are_quoted(void **state) {
    (void)state;
    shows("(module (global $\"a b\" i32 (i32.const 1)))", "(global $\"a b\" (;0;) i32 (i32.const 1))");
}

/* Two functions of one name: identifiers cannot say that, so the section stays bytes. */
static void names_that_identifiers_cannot_make_survive_as_bytes(void **state) {
    (void)state;
    shows("(module (func) (func) (@custom \"name\" \"\\01\\07\\02\\00\\01f\\01\\01f\"))",
          "(@custom \"name\" ");
}

static void floats_are_shortest_and_exact(void **state) {
    (void)state;
    shows("(module (func f32.const 0.1 drop))", "f32.const 0.1\n");
    shows("(module (func f32.const -0 drop))", "f32.const -0\n");
    shows("(module (func f64.const -inf drop))", "f64.const -inf\n");
    shows("(module (func f64.const nan drop))", "f64.const nan\n");
    shows("(module (func f64.const -nan:0x4000000000001 drop))", "f64.const -nan:0x4000000000001\n");
    shows("(module (func f64.const 0x1p-1074 drop))", "f64.const 5e-324\n");
}

static void folded_operands_stand_inside_their_instruction(void **state) {
    (void)state;
    folds("(module (func (param i32) (result i32) local.get 0 i32.const 1 i32.add))",
          "    (i32.add\n      (local.get 0)\n      (i32.const 1)))");
    folds("(module (func (param i32) local.get 0 if nop else nop end))",
          "    (if\n      (local.get 0)\n      (then (;@1;)\n        (nop))\n      (else\n        (nop))))");
}

static void a_shadowed_label_is_named_by_number(void **state) {
    (void)state;
    shows("(module (func block $a block $a br 1 br 0 end end))", "br 1 (;@1;)\n        br $a");
}

static void deep_nesting_is_printed_without_deep_indentation(void **state) {
    (void)state;
    enum { DEPTH = 5000 };
    struct bc_buf source, bytes, text;
    bc_buf_init(&source, &atoll_default_alloc);
    PUT(&source, "(module (func ");
    for (int i = 0; i < DEPTH; i++) PUT(&source, "block ");
    for (int i = 0; i < DEPTH; i++) PUT(&source, "end ");
    PUT(&source, "))");
    assemble((const char *)source.data, source.size, &bytes);
    for (int fold = 0; fold < 2; fold++) {
        print(&bytes, (struct bc_print_options){.fold = fold}, &text);
        assert_true(text.size < (size_t)DEPTH * 2 * (2 * 66 + 24));
        bc_buf_fini(&text);
    }
    bc_buf_fini(&source);
    bc_buf_fini(&bytes);
}

static void a_body_that_does_not_decode_is_malformed(void **state) {
    (void)state;
    struct bc_buf b, text;
    struct bc_module *m = NULL;
    module_begin(&b);
    SECTION(&b, 1, "\1\140\0\0");
    SECTION(&b, 3, "\1\0");
    SECTION(&b, 10, "\1\3\0\377\13");
    bc_buf_init(&text, &atoll_default_alloc);
    assert_int_equal(bc_module_decode(b.data, b.size, NULL, &m, NULL), ATOLL_OK);
    assert_int_equal(bc_text_print(m, &(struct bc_print_options){0}, &text, NULL), ATOLL_E_MALFORMED);
    assert_int_equal(bc_text_print(m, &(struct bc_print_options){.fold = true}, &text, NULL),
                     ATOLL_E_MALFORMED);
    bc_module_free(m);
    bc_buf_fini(&b);
    bc_buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_keep_groups_and_supertypes),
        cmocka_unit_test(fields_stand_apart_with_names_and_numbers),
        cmocka_unit_test(custom_sections_keep_their_places),
        cmocka_unit_test(names_that_are_no_identifiers_are_quoted),
        cmocka_unit_test(names_that_identifiers_cannot_make_survive_as_bytes),
        cmocka_unit_test(floats_are_shortest_and_exact),
        cmocka_unit_test(folded_operands_stand_inside_their_instruction),
        cmocka_unit_test(a_shadowed_label_is_named_by_number),
        cmocka_unit_test(deep_nesting_is_printed_without_deep_indentation),
        cmocka_unit_test(a_body_that_does_not_decode_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
