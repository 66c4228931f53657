/* tests/bytecode/validate_ways_test.c: what bc_v_quick takes and what it leaves makes no difference: with it and without it
 * the same bodies are valid, and the others have the same fault at the same byte. Bodies are those of the official
 * suite and of our own scripts, as they are and damaged in many ways. */
#include <stdio.h>
#include <string.h>
#include "tests/bytecode/suite.h"

/* The bodies' validator once more, the general way only. */
#define bc_v_bodies general_bodies
#define bc_v_fini   general_fini
#define bc_v_quick  general_quick
#include "bytecode/validate_bodies.c"
#undef bc_v_bodies

void general_quick(struct validator *v) { (void)v; }
enum atoll_status bc_v_bodies(struct bc_module *m, const struct bc_config *config, struct atoll_error *err);

#define VARIANTS 60u /* of each module */

static unsigned n_valid, n_refused, n_different;

static uint32_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void compare(const char *where, const uint8_t *bytes, size_t n, bc_features features) {
    struct bc_module *m = NULL;
    struct bc_config config = {.features = features};
    struct atoll_error quick = {.offset = ATOLL_NO_OFFSET}, general = quick;
    if (bc_module_decode(bytes, n, &config, &m, NULL)) return;
    enum atoll_status status = general_bodies(m, &config, &general);
    bool same = bc_v_bodies(m, &config, &quick) == status && quick.code == general.code &&
                quick.offset == general.offset && !strcmp(quick.text, general.text);
    if (!same) {
        printf("%s: \"%s\" at %llu, the general way says \"%s\" at %llu\n", where, quick.text,
               (unsigned long long)quick.offset, general.text, (unsigned long long)general.offset);
        n_different++;
    }
    n_valid += !status;
    n_refused += status != 0;
    bc_module_free(m);
}

/* Bytes that mean much in a body: constructs, numbers' edges. */
static uint8_t telling_byte(uint64_t *random) {
    static const uint8_t bytes[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0F, 0x10, 0x11,
                                    0x1A, 0x1B, 0x20, 0x21, 0x22, 0x23, 0x24, 0x28, 0x36, 0x40, 0x41, 0x42,
                                    0x43, 0x44, 0x6A, 0x7C, 0x7D, 0x7E, 0x7F, 0x80, 0xFF, 0x08, 0x78, 0xA7};
    uint32_t r = next_random(random);
    return r & 1 ? bytes[(r >> 1) % sizeof bytes] : (uint8_t)(r >> 8);
}

/* Somewhere in the section of code, where there is one. */
static void damage(uint8_t *bytes, const struct bc_module *m, uint64_t *random) {
    for (uint32_t k = 1 + next_random(random) % 3; k > 0; k--) {
        uint32_t func = m->n_imported_funcs + next_random(random) % (m->n_funcs - m->n_imported_funcs);
        const struct bc_range *body = &m->funcs[func].body;
        bytes[body->offset + next_random(random) % body->size] = telling_byte(random);
    }
}

static void visit(const char *where, const uint8_t *bytes, size_t n, bool from_text) {
    /* a custom section behind: what stands at the very end of a file is always left to the general way */
    static const uint8_t tail[34] = {0, 32, 0};
    static uint64_t random = 1;
    struct bc_module *m = NULL;
    uint8_t *copy = malloc(n + sizeof tail);
    (void)from_text;
    if (!copy || !n) {
        free(copy);
        return;
    }
    memcpy(copy, bytes, n);
    memcpy(copy + n, tail, sizeof tail);
    if (!bc_module_decode(copy, n + sizeof tail, NULL, &m, NULL) && m->n_funcs > m->n_imported_funcs) {
        compare(where, copy, n + sizeof tail, 0);
        compare(where, copy, n + sizeof tail, BC_FEATURES_DEFAULT - (1u << BC_FEATURE_SIGN_EXTENSION));
        for (unsigned i = 0; i < VARIANTS; i++) {
            memcpy(copy, bytes, n);
            damage(copy, m, &random);
            compare(where, copy, n + sizeof tail, 0);
        }
    }
    bc_module_free(m);
    free(copy);
}

int main(void) {
    suite_each_module(visit); /* our own scripts, and the official ones where they are */
    printf("%u valid modules, %u refused, %u told apart\n", n_valid, n_refused, n_different);
    return n_different || n_valid < 50 || n_refused < 500;
}
