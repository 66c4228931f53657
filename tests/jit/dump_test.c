/* tests/jit/dump_test.c: what who looks at compilation is shown. */
#include "tests/jit/declined.h"
#include "tests/runtime/fixture.h"

struct shown {
    uint32_t only; /* the function that is wanted */
    unsigned n;
    char text[1 << 16];
};

static bool wants(void *context, const struct rt_module *module, uint32_t func) {
    (void)module;
    return func == ((struct shown *)context)->only;
}

static void show(void *context, const struct rt_module *module, uint32_t func, uint32_t loop,
                 const char *text, size_t n_bytes) {
    struct shown *s = context;
    (void)module;
    assert_int_equal(func, s->only);
    assert_true(n_bytes < sizeof s->text);
    if (loop != BC_NONE) return;
    memcpy(s->text, text, n_bytes);
    s->text[n_bytes] = 0;
    s->n++;
}

static void look(struct shown *s, uint32_t stages, uint32_t func, const struct rt_tier *tier,
                 const char *text, const char *call) {
    struct world w;
    struct rt_code_viewer viewer = {.stages = stages, .context = s, .wants = wants, .show = show};
    struct rt_config config = {.tier = tier, .viewer = &viewer};
    uint64_t result;
    s->only = func;
    s->n = 0;
    s->text[0] = 0;
    open_world(&w, &config, NULL);
    struct rt_instance *i = start(&w, text, NULL);
    for (int k = 0; call && k < 3; k++) assert_int_equal(try_call(&w, i, call, 2, 3, 0, &result), ATOLL_OK);
    close_world(&w);
}

#define ALL ((1u << JIT_STAGES) - 1)
static const char program[] =
    "(module (memory 1)"
    " (func $helper (param i32) (result i32)" /* which is not inlined */
    "  (if (i32.eqz (local.get 0)) (then (return_call $helper (i32.const 1)))) (i32.clz (local.get 0)))"
    " (func $work (export \"work\") (param i32 i32) (result i32) (local f64)"
    "  (block (block (block (block (br_table 0 1 2 3 (local.get 0))) (return (i32.const 1)))"
    "   (local.set 2 (f64.add (f64.load (local.get 1)) (f64.const 1.25)))))"
    "  (loop (local.set 0 (i32.add (call $helper (local.get 0)) (i32.load (local.get 1))))"
    "   (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))"
    "  (i32.div_s (i32.trunc_sat_f64_s (local.get 2)) (local.get 0))))";

static void stages_come_in_the_order_of_the_passes(void **state) {
    static struct shown s;
    const struct rt_tier *const tiers[] = {&jit_tier, &auto_tier};
    (void)state;
    for (int t = 0; t < 2; t++) {
        look(&s, ALL, 1, tiers[t], program, "work");
        assert_int_equal(s.n, 1);
        const char *at = s.text;
        for (int i = 0; i < JIT_STAGES; i++) {
            char heading[64];
            snprintf(heading, sizeof heading, "function 1 work, %s:\n", jit_stage_names[i]);
            at = strstr(at, heading);
            assert_non_null(at);
        }
    }
}

static void only_wanted_stages_come(void **state) {
    static struct shown s;
    (void)state;
    look(&s, 1u << JIT_STAGE_SELECT | 1u << JIT_STAGE_CODE, 1, &jit_tier, program, NULL);
    assert_null(strstr(s.text, ", ir:"));
    assert_null(strstr(s.text, ", alloc:"));
    assert_non_null(strstr(s.text, ", select:"));
    assert_non_null(strstr(s.text, "i32.div_s"));
    assert_non_null(strstr(s.text, "idiv"));
    assert_non_null(strstr(s.text, "; function 0 helper"));
    assert_non_null(strstr(s.text, "; trap: integer divide by zero"));
    look(&s, 1u << JIT_STAGE_CODE, 7, &jit_tier, program, NULL);
    assert_int_equal(s.n, 0);
}

/* "    0012  01 c8 ..." with an offset that is where the line before ended. */
static void machine_code_is_shown_to_the_last_byte(void **state) {
    static struct shown s;
    unsigned size, next = 0;
    (void)state;
    look(&s, 1u << JIT_STAGE_CODE, 1, &jit_tier, program, NULL);
    const char *line = strchr(s.text, '\n') + 1;
    assert_int_equal(sscanf(line, "  %u bytes", &size), 1);
    assert_true(size > 100);
    for (; *line; line = strchr(line, '\n') + 1) {
        unsigned at, byte;
        int used;
        if (strncmp(line, "    ", 4) || sscanf(line, " %x%n", &at, &used) != 1) continue;
        assert_int_equal(at, next);
        const char *p = line + used;
        if (*p == ' ' && p[1] == ' ') p++;
        while (*p == ' ' && sscanf(p, " %2x", &byte) == 1 && p[1] != ' ') {
            next++;
            p += 3;
        }
    }
    assert_int_equal(next, size);
}

static void names_do_not_drive_the_terminal(void **state) {
    static struct shown s;
    (void)state;
    look(&s, ALL, 1, &jit_tier,
         "(module (func (export \"a\\1b[31mred\\07\\c2\\9b\\0a!\") (param i32) (result i32)"
         " (return_call 1 (local.get 0)))"
         " (func $\"b\\1b]0;x\\07\" (param i32) (result i32) (return_call 0 (local.get 0))))",
         NULL);
    assert_non_null(strstr(s.text, "; function 0 a\\1b[31mred\\07\\c2\\9b\\0a!"));
    assert_non_null(strstr(s.text, "function 1 b\\1b]0;x\\07, ir:"));
    for (const char *c = s.text; *c; c++) assert_true((unsigned char)*c >= 0x20 || *c == '\n');
    assert_null(strstr(s.text, "\xc2\x9b"));
}

static void who_declines_is_told(void **state) {
    static struct shown s;
    (void)state;
    char *text = expand("(module # (func (param i64) @))");
    look(&s, ALL, 0, &jit_tier, text, NULL);
    free(text);
    assert_non_null(strstr(s.text, "function 0 stays interpreted: " DECLINED));
    assert_null(strstr(s.text, ", code:"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_come_in_the_order_of_the_passes),
        cmocka_unit_test(only_wanted_stages_come),
        cmocka_unit_test(machine_code_is_shown_to_the_last_byte),
        cmocka_unit_test(names_do_not_drive_the_terminal),
        cmocka_unit_test(who_declines_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
