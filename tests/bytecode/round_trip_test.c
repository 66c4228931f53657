/* tests/bytecode/round_trip_test.c: modules of the official suite through writer, printer and assembler. */
#include "tests/bytecode/stretch.h"
#include "tests/bytecode/suite.h"

static unsigned n_failed, n_written, n_printed, n_stretched, n_long;

static void fail(const char *where, const char *what, const struct atoll_error *err) {
    n_failed++;
    printf("%s: %s%s%s", where, what, err ? ": " : "", err ? err->text : "");
    if (err && err->line) printf(" (line %u, column %u)", err->line, err->column);
    printf("\n");
}

static bool equal(const struct bc_buf *a, const uint8_t *bytes, size_t n) {
    return a->size == n && (!n || !memcmp(a->data, bytes, n));
}

/* The text assembles to the bytes. */
static void check_text(const char *where, const char *how, const struct bc_module *m, const uint8_t *bytes,
                       size_t n, const struct bc_print_options *options) {
    struct bc_buf text, again;
    struct atoll_error err = {0};
    char what[64];
    bc_buf_init(&text, &atoll_default_alloc);
    bc_buf_init(&again, &atoll_default_alloc);
    snprintf(what, sizeof what, "printed %s", how);
    if (bc_text_print(m, options, &text, &err)) {
        fail(where, what, &err);
    } else if (bc_text_assemble((const char *)text.data, text.size, NULL, &again, NULL, &err)) {
        fail(where, what, &err);
        if (getenv("SHOW")) printf("%.*s\n", (int)text.size, text.data);
    } else if (!equal(&again, bytes, n)) {
        fail(where, what, NULL);
        if (getenv("SHOW")) printf("%.*s\n", (int)text.size, text.data);
    }
    n_printed++;
    bc_buf_fini(&text);
    bc_buf_fini(&again);
}

static bool print_numbers(const uint8_t *bytes, size_t n, struct bc_buf *text) {
    struct bc_module *m = NULL;
    bool ok = !bc_module_decode(bytes, n, NULL, &m, NULL) &&
              !bc_text_print(m, &(struct bc_print_options){.no_names = true}, text, NULL);
    bc_module_free(m);
    return ok;
}

/* Without names the bytes may differ, but what they assemble to prints as the same text. */
static void check_without_names(const char *where, const uint8_t *bytes, size_t n) {
    struct bc_buf text, again, second;
    bc_buf_init(&text, &atoll_default_alloc);
    bc_buf_init(&again, &atoll_default_alloc);
    bc_buf_init(&second, &atoll_default_alloc);
    if (!print_numbers(bytes, n, &text) ||
        bc_text_assemble((const char *)text.data, text.size, NULL, &again, NULL, NULL) ||
        !print_numbers(again.data, again.size, &second) || !equal(&second, text.data, text.size))
        fail(where, "printed without names", NULL);
    n_printed++;
    bc_buf_fini(&text);
    bc_buf_fini(&again);
    bc_buf_fini(&second);
}

/* The module in more bytes than it needs is written in its shortest form. */
static void check_stretched(const char *where, const struct bc_module *m, const uint8_t *bytes, size_t n) {
    struct bc_module *same = NULL;
    struct bc_buf stretched, written;
    struct atoll_error err = {0};
    bc_buf_init(&stretched, &atoll_default_alloc);
    bc_buf_init(&written, &atoll_default_alloc);
    if (!stretch_module(&stretched, m) || stretched.size <= n)
        fail(where, "cannot be stretched", NULL);
    else if (bc_module_decode(stretched.data, stretched.size, NULL, &same, &err) ||
             bc_module_validate(same, NULL, &err))
        fail(where, "stretched", &err);
    else if (bc_module_write(same, &written, &err) || !equal(&written, bytes, n))
        fail(where, "stretched and written differs", NULL);
    n_stretched++;
    bc_module_free(same);
    bc_buf_fini(&stretched);
    bc_buf_fini(&written);
}

/* What did not come in its shortest form is the same module when it is written in it: both print as the same
 * text. (Custom sections are left out here: beside empty sections, which nobody writes, they stand elsewhere
 * afterwards.) */
static void check_rewritten(const char *where, const uint8_t *bytes, size_t n, const struct bc_buf *written) {
    struct bc_buf before, after;
    bc_buf_init(&before, &atoll_default_alloc);
    bc_buf_init(&after, &atoll_default_alloc);
    if (!print_numbers(bytes, n, &before) || !print_numbers(written->data, written->size, &after) ||
        !equal(&after, before.data, before.size))
        fail(where, "rewritten differs", NULL);
    n_long++;
    bc_buf_fini(&before);
    bc_buf_fini(&after);
}

/* Any text will do, or a fault. */
static void print_invalid(const struct bc_module *m) {
    for (int fold = 0; fold < 2; fold++) {
        struct bc_buf text;
        bc_buf_init(&text, &atoll_default_alloc);
        bc_text_print(m, &(struct bc_print_options){.fold = fold}, &text, NULL);
        bc_buf_fini(&text);
    }
}

/* Whatever can be decoded is written, and what is written is written again as the same bytes. Those are what
 * the printer's text is compared with, since the suite's binary modules are often not in shortest form. */
static void visit(const char *where, const uint8_t *bytes, size_t n, bool from_text) {
    struct bc_module *m = NULL, *canonical = NULL;
    struct bc_buf written, twice;
    struct atoll_error err = {0};
    bc_buf_init(&written, &atoll_default_alloc);
    bc_buf_init(&twice, &atoll_default_alloc);
    if (!bc_module_decode(bytes, n, NULL, &m, NULL) && !bc_module_write(m, &written, &err)) {
        if (from_text && !equal(&written, bytes, n)) fail(where, "written differs from assembled", NULL);
        if (bc_module_decode(written.data, written.size, NULL, &canonical, &err)) {
            fail(where, "written does not decode", &err);
        } else {
            if (bc_module_write(canonical, &twice, &err) || !equal(&twice, written.data, written.size))
                fail(where, "written twice", &err);
            if (bc_module_validate(canonical, NULL, NULL)) {
                print_invalid(canonical);
            } else {
                check_text(where, "flat", canonical, written.data, written.size,
                           &(struct bc_print_options){0});
                check_text(where, "folded", canonical, written.data, written.size,
                           &(struct bc_print_options){.fold = true});
                check_text(where, "with offsets", canonical, written.data, written.size,
                           &(struct bc_print_options){.offsets = true, .fold = true});
                check_without_names(where, written.data, written.size);
                if (!equal(&written, bytes, n) && !m->n_customs) check_rewritten(where, bytes, n, &written);
                if (written.size > 8) check_stretched(where, canonical, written.data, written.size);
            }
            n_written++;
        }
    }
    bc_module_free(m);
    bc_module_free(canonical);
    bc_buf_fini(&written);
    bc_buf_fini(&twice);
}

int main(void) {
    unsigned n = suite_each_module(visit);
    if (!n) {
        printf("no official test scripts found: set ATOLL_SPEC_DIR\n");
        return SUITE_SKIPPED;
    }
    printf("%u modules, %u written, %u texts assembled, %u stretched, %u rewritten, %u faults\n", n,
           n_written, n_printed, n_stretched, n_long, n_failed);
    return n_failed != 0 || !n_written || !n_stretched || !n_long;
}
