/* interp/dump.c: lowered code as text. */
#include <stdlib.h>
#include "interp/internal.h"

struct known {
    uint64_t address;
    enum interp_op op;
};

static int by_address(const void *a, const void *b) {
    uint64_t x = ((const struct known *)a)->address, y = ((const struct known *)b)->address;
    return x < y ? -1 : x > y;
}

static enum interp_op find(const struct known *known, uint64_t address) {
    struct known key = {.address = address};
    const struct known *k = bsearch(&key, known, H_COUNT, sizeof key, by_address);
    return k ? k->op : H_COUNT;
}

static uint32_t length(const uint64_t *words, enum interp_op op) {
    if (op != H_BR_TABLE_S && op != H_BR_TABLE_A) return interp_op_infos[op].words;
    return 2 + ((uint32_t)words[1] + 2) / 2;
}

/* "  12 +0x1f  I32_ADD_SS  3 4 5": word, byte offset of the wasm instruction where one is kept, operands. */
static void list(const struct interp_code *code, const struct known *known, struct bc_buf *out) {
    uint32_t pc = 0;
    for (uint32_t at = 0; at < code->n_words;) {
        const uint64_t *words = code->words + at;
        enum interp_op op = find(known, words[0]);
        if (op == H_COUNT) break;
        uint32_t n = length(words, op);
        while (pc < code->n_pcs && code->pcs[pc].at < at) pc++;
        bc_buf_text(out, "%6u ", at);
        if (pc < code->n_pcs && code->pcs[pc].at == at)
            bc_buf_text(out, "@%-8x", code->pcs[pc].offset);
        else
            bc_buf_text(out, "         ");
        bc_buf_text(out, " %-24s", interp_op_infos[op].name);
        const int32_t *operands = (const int32_t *)(const void *)(words + 1);
        for (uint32_t i = 0; i < 2 * (n - 1); i++) bc_buf_text(out, " %d", operands[i]);
        bc_buf_text(out, "\n");
        at += n;
    }
}

enum atoll_status interp_dump(struct rt_module *module, uint32_t func, struct bc_buf *out,
                              struct atoll_error *err) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct interp_code code = {0};
    struct known *known = atoll_new(alloc, H_COUNT, sizeof *known);
    enum atoll_status status = known ? interp_lower(module, func, true, NULL, &code) : ATOLL_E_NOMEM;
    if (!status) {
        for (uint32_t i = 0; i < H_COUNT; i++)
            known[i] = (struct known){(uint64_t)(uintptr_t)interp_handlers[i], (enum interp_op)i};
        qsort(known, H_COUNT, sizeof *known, by_address);
        list(&code, known, out);
        interp_code_fini(alloc, &code);
        if (out->failed) status = ATOLL_E_NOMEM;
    }
    atoll_free(alloc, known, H_COUNT * sizeof *known);
    return status ? atoll_fail(err, status, ATOLL_NO_OFFSET, "out of memory") : ATOLL_OK;
}
