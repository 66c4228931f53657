/* tests/bytecode/opcode_table_test.c: the opcode table, row by row: encoded, decoded, printed, assembled; and
 * which rows the official suite never shows. */
#include "tests/bytecode/suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "bytecode/encode.h"

/* A module with one of everything that an index can name; the body is appended. */
static const char prelude[] = "(module (type $t (func)) (type $s (struct (field (mut i8)) (field (mut "
                              "i32)))) (type $a (array (mut i8)))"
                              "(type $b (array (mut funcref))) (table 1 funcref) (table 1 funcref) (memory "
                              "1) (memory 1) (tag (type $t))"
                              "(global (mut i32) (i32.const 0)) (elem funcref) (data \"x\")"
                              "(func (type $t) (local i32 i32)";

static void put_immediates(struct bc_buf *out, const struct bc_op_info *info) {
    switch ((enum bc_imm)info->immediates) {
    case BC_IMM_NONE: break;
    case BC_IMM_BLOCK: bc_buf_u8(out, 0x40); break;
    case BC_IMM_BR_TABLE: bc_buf_bytes(out, "\x02\x00\x00\x00", 4); break;
    case BC_IMM_SELECT: bc_buf_bytes(out, "\x01\x7F", 2); break;
    case BC_IMM_TRY_TABLE: bc_buf_bytes(out, "\x40\x02\x00\x00\x00\x03\x00", 7); break;
    case BC_IMM_MEMARG: bc_buf_bytes(out, "\x40\x01\x85\x01", 4); break;
    case BC_IMM_MEMARG_LANE: bc_buf_bytes(out, "\x00\x07\x01", 3); break;
    case BC_IMM_SHUFFLE:
    case BC_IMM_V128: bc_buf_bytes(out, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16); break;
    case BC_IMM_I32: bc_buf_s64(out, INT32_MIN); break;
    case BC_IMM_I64: bc_buf_s64(out, INT64_MIN); break;
    case BC_IMM_F32: bc_buf_fixed(out, 0xFFA00001, 4); break;
    case BC_IMM_F64: bc_buf_fixed(out, 0x3FB999999999999A, 8); break;
    case BC_IMM_HEAP_TYPE: bc_buf_u8(out, 0x70); break;
    case BC_IMM_BR_CAST: bc_buf_bytes(out, "\x03\x00\x6E\x01", 4); break;
    case BC_IMM_TYPE_FIELD:
    case BC_IMM_TYPE_COUNT: bc_buf_bytes(out, "\x01\x01", 2); break;
    case BC_IMM_TYPE_TYPE: bc_buf_bytes(out, "\x02\x02", 2); break;
    case BC_IMM_TYPE_DATA: bc_buf_bytes(out, "\x02\x00", 2); break;
    case BC_IMM_TYPE_ELEM: bc_buf_bytes(out, "\x03\x00", 2); break;
    case BC_IMM_CALL_INDIRECT:
    case BC_IMM_ELEM_TABLE:
    case BC_IMM_DATA_MEMORY: bc_buf_bytes(out, "\x00\x01", 2); break;
    case BC_IMM_TABLE_TABLE:
    case BC_IMM_MEMORY_MEMORY: bc_buf_bytes(out, "\x01\x00", 2); break;
    default: bc_buf_u8(out, 0); break; /* one index or a lane */
    }
}

/* The row where it may stand: inside a try's handler or an if, closed when it opens a block. */
static void put_body(struct bc_buf *out, enum bc_op op) {
    bool opens = op == BC_BLOCK || op == BC_LOOP || op == BC_IF || op == BC_TRY || op == BC_TRY_TABLE;
    bool divides = op == BC_CATCH || op == BC_CATCH_ALL;
    if (op == BC_END) return;
    if (op == BC_ELSE) bc_buf_bytes(out, "\x04\x40", 2);
    if (divides || op == BC_DELEGATE || op == BC_RETHROW) bc_buf_bytes(out, "\x06\x40", 2);
    if (op == BC_RETHROW) bc_buf_bytes(out, "\x19", 1);
    bc_put_op(out, op);
    put_immediates(out, &bc_op_infos[op]);
    if (opens || divides || op == BC_ELSE || op == BC_RETHROW) bc_buf_u8(out, 0x0B);
}

/* The prelude's module with another body. */
static struct bc_module *module_with(const struct bc_module *base, const struct bc_buf *body,
                                     struct bc_buf *bytes) {
    struct bc_module *m = NULL;
    uint32_t code = base->funcs[0].body.offset;
    /* section id, its size, count, body size; all sizes below 128 */
    size_t section = (size_t)code - 4, body_size = 3 + body->size + 1;
    assert_true(body_size + 2 < 128);
    bc_buf_bytes(bytes, base->bytes, section + 1);
    bc_buf_u8(bytes, (uint8_t)(body_size + 2));
    bc_buf_u8(bytes, 1);
    bc_buf_u8(bytes, (uint8_t)body_size);
    bc_buf_bytes(bytes, "\x01\x02\x7F", 3);
    bc_buf_bytes(bytes, body->data, body->size);
    bc_buf_u8(bytes, 0x0B);
    uint32_t behind = code + base->funcs[0].body.size;
    bc_buf_bytes(bytes, base->bytes + behind, base->n_bytes - behind);
    assert_int_equal(bc_module_decode(bytes->data, bytes->size, NULL, &m, NULL), ATOLL_OK);
    return m;
}

static void check_row(const struct bc_module *base, enum bc_op op) {
    struct bc_buf body, bytes;
    bc_buf_init(&body, &atoll_default_alloc);
    bc_buf_init(&bytes, &atoll_default_alloc);
    put_body(&body, op);
    struct bc_module *m = module_with(base, &body, &bytes);
    uint32_t at = m->funcs[0].code_offset, end = at + (uint32_t)body.size;
    bool seen = op == BC_END;
    while (at < end) { /* decode, then encode again */
        struct bc_instr in;
        struct bc_buf again;
        bc_buf_init(&again, &atoll_default_alloc);
        assert_int_equal(bc_decode_instr(m, at, end, &in, NULL), ATOLL_OK);
        bc_put_instr(&again, m, &in);
        assert_int_equal(again.size, in.next - in.offset);
        assert_memory_equal(again.data, m->bytes + in.offset, again.size);
        bc_buf_fini(&again);
        seen |= in.op == op;
        at = in.next;
    }
    assert_true(seen);
    for (int fold = 0; fold < 2; fold++) {
        struct bc_buf text, again;
        struct atoll_error err = {0};
        bc_buf_init(&text, &atoll_default_alloc);
        bc_buf_init(&again, &atoll_default_alloc);
        assert_int_equal(bc_text_print(m, &(struct bc_print_options){.fold = fold}, &text, NULL), ATOLL_OK);
        if (bc_text_assemble((const char *)text.data, text.size, NULL, &again, NULL, &err) ||
            again.size != bytes.size || memcmp(again.data, bytes.data, bytes.size))
            fail_msg("%s: %s\n%.*s", bc_op_infos[op].text, err.text, (int)text.size, text.data);
        bc_buf_fini(&text);
        bc_buf_fini(&again);
    }
    bc_module_free(m);
    bc_buf_fini(&body);
    bc_buf_fini(&bytes);
}

static void every_row_survives_encoding_decoding_printing_and_assembling(void **state) {
    (void)state;
    struct bc_buf text, bytes;
    struct bc_module *base = NULL;
    bc_buf_init(&text, &atoll_default_alloc);
    bc_buf_init(&bytes, &atoll_default_alloc);
    /* the body names a data segment, so that there is a data count */
    bc_buf_text(&text, "%s data.drop 0))", prelude);
    assert_int_equal(bc_text_assemble((const char *)text.data, text.size, NULL, &bytes, NULL, NULL),
                     ATOLL_OK);
    assert_int_equal(bc_module_decode(bytes.data, bytes.size, NULL, &base, NULL), ATOLL_OK);
    for (unsigned op = 0; op < BC_OP_COUNT; op++) {
        /* the printer asks for a data count of its own; with one in the module every row has it */
        check_row(base, (enum bc_op)op);
    }
    bc_module_free(base);
    bc_buf_fini(&text);
    bc_buf_fini(&bytes);
}

static void encodings_are_unique(void **state) {
    (void)state;
    for (unsigned a = 0; a < BC_OP_COUNT; a++)
        for (unsigned b = a + 1; b < BC_OP_COUNT; b++)
            assert_false(bc_op_infos[a].prefix == bc_op_infos[b].prefix &&
                         bc_op_infos[a].code == bc_op_infos[b].code);
}

/* ref.test, ref.cast and select have two rows of one name: the operands tell them apart. */
static void texts_are_unique_but_for_three(void **state) {
    (void)state;
    unsigned doubles = 0;
    for (unsigned a = 0; a < BC_OP_COUNT; a++)
        for (unsigned b = a + 1; b < BC_OP_COUNT; b++)
            doubles += !strcmp(bc_op_infos[a].text, bc_op_infos[b].text);
    assert_int_equal(doubles, 3);
}

static void signatures_and_widths_are_well_formed(void **state) {
    (void)state;
    for (unsigned op = 0; op < BC_OP_COUNT; op++) {
        const struct bc_op_info *info = &bc_op_infos[op];
        bool memory = info->immediates == BC_IMM_MEMARG || info->immediates == BC_IMM_MEMARG_LANE;
        assert_int_equal(info->access != 0, memory);
        assert_int_equal(info->access & (info->access - 1), 0);
        assert_true(info->access <= 16);
        if (!info->signature) continue;
        const char *colon = strchr(info->signature, ':');
        assert_non_null(colon);
        assert_int_equal(strspn(info->signature, "iIfFva"), colon - info->signature);
        assert_true(strlen(colon + 1) <= 2 && strspn(colon + 1, "iIfFva") == strlen(colon + 1));
        bool address = memchr(info->signature, 'a', (size_t)(colon - info->signature)) != NULL;
        assert_true(address || !memory);
    }
}

static bool shown[BC_OP_COUNT];

static void mark(const char *where, const uint8_t *bytes, size_t n, bool from_text) {
    struct bc_module *m = NULL;
    struct bc_instr in;
    (void)where, (void)from_text;
    if (bc_module_decode(bytes, n, NULL, &m, NULL)) return;
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs; i++) {
        uint32_t end = m->funcs[i].body.offset + m->funcs[i].body.size;
        for (uint32_t at = m->funcs[i].code_offset; at < end && !bc_decode_instr(m, at, end, &in, NULL);
             at = in.next)
            shown[in.op] = true;
    }
    bc_module_free(m);
}

static void scripts_show_every_row(void **state) {
    (void)state;
    if (!suite_each_module(mark)) skip();
    for (unsigned op = 0; op < BC_OP_COUNT; op++)
        if (!shown[op]) fail_msg("%s is in no script", bc_op_infos[op].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_survives_encoding_decoding_printing_and_assembling),
        cmocka_unit_test(encodings_are_unique),
        cmocka_unit_test(texts_are_unique_but_for_three),
        cmocka_unit_test(signatures_and_widths_are_well_formed),
        cmocka_unit_test(scripts_show_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
