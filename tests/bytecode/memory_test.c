/* tests/bytecode/memory_test.c: every reader and writer of programs with its first, second, third ...
 * allocation failing, and with a stop asked for at that point. What is made is whole or is not made, and
 * nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/fuzz/fuzz.h"

static const char text[] =
    "(module $m (type $t (func (param $p i32) (result i32))) (import \"a\" \"b\" (func $f (type $t)))"
    " (rec (type $s (sub (struct (field $x i32) (field (mut (ref null $s)))))) (type $a (array (mut i8))))"
    " (@custom \"x\" \"y\") (table $tab 1 funcref) (memory $mem 1) (tag $e (param i32))"
    " (global $g (mut i32) (i32.const 1)) (export \"f\" (func $f)) (elem (i32.const 0) $f) (data $d \"z\")"
    " (elem $exprs funcref (ref.func $f) (ref.null func)) (start $s)"
    " (func $s (local $l i64) (local f32 f32) (block $b (br_table $b $b (i32.const 0)))"
    " (try_table (catch_all 0)) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))"
    " (if (i32.eqz (i32.const 1)) (then (drop (call $f (i32.const 2)))) (else nop))"
    " (drop (v128.const i64x2 1 2)) (drop (struct.new_default $s)) (global.set $g (i32.const 3))))";

/* ---- memory that fails, or in whose use somebody asks for a stop ---- */

struct memory {
    struct atoll_alloc alloc;
    struct fuzz_alloc inner;
    uint64_t until_stop;
    bc_stop stop;
};

static void *resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct memory *m = context;
    if (new_size > old_size && !m->until_stop--) atomic_store(&m->stop, 1);
    return m->inner.alloc.resize(m->inner.alloc.context, p, old_size, new_size);
}

static void memory_init(struct memory *m, uint64_t until_failure, uint64_t until_stop) {
    *m = (struct memory){.alloc = {resize, m}, .until_stop = until_stop};
    fuzz_alloc_init(&m->inner, until_failure);
}

/* ---- what is done with it; each appends what it makes to *out ---- */

typedef enum atoll_status work(struct memory *memory, const struct bc_buf *program, struct bc_buf *out);

static enum atoll_status assemble(struct memory *memory, const struct bc_buf *program, struct bc_buf *out) {
    struct bc_source_map map = {0};
    struct bc_config config = {.alloc = &memory->alloc, .stop = &memory->stop};
    (void)program;
    enum atoll_status status = bc_text_assemble(text, sizeof text - 1, &config, out, &map, NULL);
    bc_source_map_fini(&map, &memory->alloc);
    return status;
}

static enum atoll_status load(struct memory *memory, const struct bc_buf *program, struct bc_module **out) {
    struct bc_config config = {.alloc = &memory->alloc, .stop = &memory->stop};
    enum atoll_status status = bc_module_decode(program->data, program->size, &config, out, NULL);
    if (!status) status = bc_module_validate(*out, &config, NULL);
    return status;
}

static enum atoll_status decode_and_validate(struct memory *memory, const struct bc_buf *program,
                                             struct bc_buf *out) {
    struct bc_module *m = NULL;
    enum atoll_status status = load(memory, program, &m);
    if (!status) bc_buf_u32(out, m->n_funcs);
    bc_module_free(m);
    return status ? status : out->failed ? ATOLL_E_NOMEM : ATOLL_OK;
}

static enum atoll_status write(struct memory *memory, const struct bc_buf *program, struct bc_buf *out) {
    struct bc_module *m = NULL;
    enum atoll_status status = load(memory, program, &m);
    if (!status) status = bc_module_write(m, out, NULL);
    bc_module_free(m);
    return status;
}

static enum atoll_status print(struct memory *memory, const struct bc_buf *program, struct bc_buf *out) {
    struct bc_module *m = NULL;
    enum atoll_status status = load(memory, program, &m);
    for (int i = 0; !status && i < 4; i++)
        status = bc_text_print(
            m, &(struct bc_print_options){.fold = i & 1, .offsets = i == 2, .no_names = i > 2}, out, NULL);
    bc_module_free(m);
    return status;
}

static enum atoll_status dump(struct memory *memory, const struct bc_buf *program, struct bc_buf *out) {
    static const struct bc_dump_options everything = {true, true, true, true, NULL};
    struct bc_module *m = NULL;
    enum atoll_status status = load(memory, program, &m);
    if (!status) status = bc_module_dump(m, &everything, out, NULL);
    bc_module_free(m);
    return status;
}

static work *const works[] = {assemble, decode_and_validate, write, print, dump};
enum { N_WORKS = sizeof works / sizeof *works };

/* ---- each of them, at each of its allocations ---- */

static enum atoll_status try(work *w, struct memory *memory, const struct bc_buf *program,
                             const struct bc_buf *whole) {
    struct bc_buf out;
    bc_buf_init(&out, &memory->alloc);
    enum atoll_status status = w(memory, program, &out);
    if (!status) {
        assert_false(out.failed);
        assert_int_equal(out.size, whole->size);
        assert_memory_equal(out.data, whole->data, out.size);
    }
    bc_buf_fini(&out);
    assert_int_equal(memory->inner.n_bytes, 0);
    return status;
}

/* What the work makes when nothing is in its way; returns how often it allocates. */
static uint64_t make_whole(work *w, const struct bc_buf *program, struct bc_buf *whole) {
    static struct memory memory; /* `whole` lives in it */
    memory_init(&memory, UINT64_MAX, UINT64_MAX);
    bc_buf_init(whole, &memory.alloc);
    assert_int_equal(w(&memory, program, whole), ATOLL_OK);
    assert_true(whole->size > 0);
    return memory.inner.n_calls;
}

static void failing_allocations_leave_nothing(void **state) {
    const struct bc_buf *program = *state;
    for (size_t i = 0; i < N_WORKS; i++) {
        struct bc_buf whole;
        uint64_t n_calls = make_whole(works[i], program, &whole);
        for (uint64_t left = 0; left < n_calls; left++) {
            struct memory memory;
            memory_init(&memory, left, UINT64_MAX);
            assert_int_equal(try(works[i], &memory, program, &whole), ATOLL_E_NOMEM);
        }
        bc_buf_fini(&whole);
    }
}

static void readers_can_be_stopped_at_any_time(void **state) {
    const struct bc_buf *program = *state;
    for (size_t i = 0; i < 2; i++) {
        struct bc_buf whole;
        uint64_t n_calls = make_whole(works[i], program, &whole), n_stopped = 0;
        for (uint64_t left = 0; left < n_calls; left++) {
            struct memory memory;
            memory_init(&memory, UINT64_MAX, left);
            enum atoll_status status = try(works[i], &memory, program, &whole);
            assert_true(status == ATOLL_E_INTERRUPTED || !status); /* the last ones come too late */
            n_stopped += status == ATOLL_E_INTERRUPTED;
        }
        assert_true(n_stopped * 2 > n_calls);
        bc_buf_fini(&whole);
    }
}

/* The loops of their own, between allocations: a stop that stands before the call ends each stage. */
static void every_stage_looks_at_the_stop(void **state) {
    const struct bc_buf *program = *state;
    bc_stop stop = 1;
    struct bc_config stopped = {.stop = &stop};
    struct bc_module *m = NULL;
    struct atoll_error err = {0};
    struct bc_buf out;
    bc_buf_init(&out, &atoll_default_alloc);
    assert_int_equal(bc_text_assemble(text, sizeof text - 1, &stopped, &out, NULL, &err),
                     ATOLL_E_INTERRUPTED);
    assert_string_equal(err.text, "interrupted");
    assert_int_equal(bc_module_decode(program->data, program->size, &stopped, &m, &err), ATOLL_E_INTERRUPTED);
    assert_int_equal(bc_module_decode(program->data, program->size, NULL, &m, &err), ATOLL_OK);
    assert_int_equal(bc_module_validate(m, &stopped, &err), ATOLL_E_INTERRUPTED);
    assert_false(m->validated);
    assert_int_equal(bc_module_validate(m, NULL, &err), ATOLL_OK);
    bc_module_free(m);
    bc_buf_fini(&out);
}

/* ---- text that goes on as it is made ---- */

struct taker {
    struct bc_buf taken;
    size_t largest, n_left; /* pieces until it takes no more */
};

static bool take(void *context, const void *bytes, size_t n) {
    struct taker *t = context;
    if (!t->n_left) return false;
    t->n_left--;
    if (n > t->largest) t->largest = n;
    bc_buf_bytes(&t->taken, bytes, n);
    return true;
}

/* A hundred functions of 50,000 locals each in 600 bytes: some 20 MB of text. */
static struct bc_module *many_locals(struct bc_buf *bytes) {
    struct bc_module *m = NULL;
    struct bc_buf code;
    bc_buf_init(bytes, &atoll_default_alloc);
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_bytes(bytes, "\0asm\1\0\0\0\1\4\1\140\0\0\3\145\144", 17);
    bc_buf_u8(&code, 100);
    for (int i = 0; i < 100; i++) bc_buf_u8(bytes, 0);
    for (int i = 0; i < 100; i++) bc_buf_bytes(&code, "\6\1\320\206\3\177\13", 7);
    bc_buf_u8(bytes, 10);
    bc_buf_u32(bytes, (uint32_t)code.size);
    bc_buf_bytes(bytes, code.data, code.size);
    bc_buf_fini(&code);
    assert_int_equal(bc_module_decode(bytes->data, bytes->size, NULL, &m, NULL), ATOLL_OK);
    return m;
}

static void printing_takes_little_memory_whatever_is_printed(void **state) {
    (void)state;
    struct bc_buf bytes, whole, streamed;
    struct bc_module *m = many_locals(&bytes);
    struct taker t = {.n_left = SIZE_MAX};
    struct bc_print_options options = {0};
    bc_buf_init(&t.taken, &atoll_default_alloc);
    bc_buf_init(&whole, &atoll_default_alloc);
    bc_buf_init(&streamed, &atoll_default_alloc);
    assert_int_equal(bc_text_print(m, &options, &whole, NULL), ATOLL_OK);
    assert_true(whole.size > 100 * 50000 * 4);
    bc_buf_stream(&streamed, take, &t);
    assert_int_equal(bc_text_print(m, &options, &streamed, NULL), ATOLL_OK);
    assert_int_equal(t.taken.size, whole.size);
    assert_memory_equal(t.taken.data, whole.data, whole.size);
    assert_true(t.largest < 128 << 10 && streamed.capacity <= 128 << 10);
    /* and stops where nobody takes it */
    t.taken.size = 0;
    t.n_left = 2;
    assert_int_not_equal(bc_text_print(m, &options, &streamed, NULL), ATOLL_OK);
    assert_true(t.taken.size < 256 << 10);
    bc_buf_fini(&t.taken);
    bc_buf_fini(&whole);
    bc_buf_fini(&streamed);
    bc_module_free(m);
    bc_buf_fini(&bytes);
}

static int set_up(void **state) {
    static struct bc_buf program;
    struct atoll_error err = {0};
    bc_buf_init(&program, &atoll_default_alloc);
    if (bc_text_assemble(text, sizeof text - 1, NULL, &program, NULL, &err)) print_error("%s\n", err.text);
    *state = &program;
    return !program.size;
}

static int tear_down(void **state) {
    bc_buf_fini(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(failing_allocations_leave_nothing),
                                       cmocka_unit_test(readers_can_be_stopped_at_any_time),
                                       cmocka_unit_test(every_stage_looks_at_the_stop),
                                       cmocka_unit_test(printing_takes_little_memory_whatever_is_printed)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
