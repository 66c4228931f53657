/* bytecode/text/dump_core.c: the custom sections of a core dump, listed. They are a hint and never an error:
 * what is broken ends the listing of its section. Source: WebAssembly tool conventions, "Coredump". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "bytecode/text/print.h"

/* Each production begins with a zero byte. */
static bool begins(struct bc_reader *r) { return bc_reader_u8(r) == 0 && !r->status; }

static bool text(struct bc_buf *out, struct bc_reader *r, const char *what) {
    struct bc_name name = {NULL, 0};
    if (begins(r)) name = bc_reader_name(r);
    if (r->status || !name.bytes) return false;
    bc_buf_text(out, "  %s ", what);
    print_string(out, name.bytes, name.size, true);
    bc_buf_u8(out, '\n');
    return true;
}

static void modules(struct bc_buf *out, struct bc_reader *r) {
    uint32_t n = bc_reader_u32(r);
    for (uint32_t i = 0; i < n && !r->status && !out->failed; i++) {
        char what[32];
        snprintf(what, sizeof what, "module[%" PRIu32 "]", i);
        if (!text(out, r, what)) return;
    }
}

static void indices(struct bc_buf *out, struct bc_reader *r, const char *what) {
    uint32_t n = bc_reader_u32(r);
    if (n && !r->status) bc_buf_text(out, ", %s", what);
    for (uint32_t i = 0; i < n && !r->status && !out->failed; i++) {
        uint32_t index = bc_reader_u32(r);
        if (!r->status) bc_buf_text(out, " %" PRIu32, index);
    }
}

static void instances(struct bc_buf *out, struct bc_reader *r) {
    uint32_t n = bc_reader_u32(r);
    for (uint32_t i = 0; i < n && !r->status && !out->failed && begins(r); i++) {
        uint32_t module = bc_reader_u32(r);
        if (r->status) return;
        bc_buf_text(out, "  instance[%" PRIu32 "] module %" PRIu32, i, module);
        indices(out, r, "memories");
        indices(out, r, "globals");
        bc_buf_u8(out, '\n');
    }
}

static bool value(struct bc_buf *out, struct bc_reader *r) {
    uint32_t bits32 = 0;
    uint64_t bits64 = 0;
    float f;
    double g;
    switch (bc_reader_u8(r)) {
    case 0x01: bc_buf_text(out, " ?"); break;
    case 0x7F: bc_buf_text(out, " i32 %" PRId64, bc_reader_sleb(r, 32)); break;
    case 0x7E: bc_buf_text(out, " i64 %" PRId64, bc_reader_sleb(r, 64)); break;
    case 0x7D:
        bc_reader_copy(r, &bits32, 4);
        memcpy(&f, &bits32, 4);
        bc_buf_text(out, " f32 %.9g", (double)f);
        break;
    case 0x7C:
        bc_reader_copy(r, &bits64, 8);
        memcpy(&g, &bits64, 8);
        bc_buf_text(out, " f64 %.17g", g);
        break;
    default: return false;
    }
    return !r->status;
}

static bool values(struct bc_buf *out, struct bc_reader *r, const char *what) {
    uint32_t n = bc_reader_u32(r);
    if (n && !r->status) bc_buf_text(out, ", %s", what);
    for (uint32_t i = 0; i < n && !out->failed; i++)
        if (r->status || !value(out, r)) return false;
    return !r->status;
}

static void stack(struct bc_buf *out, struct bc_reader *r) {
    if (!text(out, r, "thread")) return;
    uint32_t n = bc_reader_u32(r);
    for (uint32_t i = 0; i < n && !r->status && !out->failed && begins(r); i++) {
        uint32_t instance = bc_reader_u32(r), func = bc_reader_u32(r), offset = bc_reader_u32(r);
        if (r->status) return;
        bc_buf_text(out, "  frame[%" PRIu32 "] instance %" PRIu32 " func[%" PRIu32 "]+0x%" PRIx32, i,
                    instance, func, offset);
        bool whole = values(out, r, "locals") && values(out, r, "operands");
        bc_buf_u8(out, '\n');
        if (!whole) return;
    }
}

static bool is(struct bc_name name, const char *word) {
    return name.size == strlen(word) && !memcmp(name.bytes, word, name.size);
}

void dump_core_section(struct bc_buf *out, const struct bc_module *m, const struct bc_custom *c) {
    struct bc_reader r = {
        .bytes = m->bytes, .at = c->payload.offset, .end = c->payload.offset + c->payload.size};
    if (is(c->name, "core")) text(out, &r, "program");
    if (is(c->name, "coremodules")) modules(out, &r);
    if (is(c->name, "coreinstances")) instances(out, &r);
    if (is(c->name, "corestack")) stack(out, &r);
}
