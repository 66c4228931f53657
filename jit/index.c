/* jit/index.c: code by address. */
#include <stdlib.h>
#include "jit/engine.h"

void jit_index_fini(struct jit_engine *engine) {
    atoll_free(engine->alloc, engine->places, engine->cap_places * sizeof *engine->places);
}

enum atoll_status jit_index_add(struct jit_engine *engine, const struct jit_code *code) {
    if (engine->n_places == engine->cap_places &&
        atoll_grow(engine->alloc, (void **)&engine->places, &engine->cap_places, engine->n_places + 1,
                   sizeof *engine->places))
        return ATOLL_E_NOMEM;
    engine->places[engine->n_places++] = (struct jit_place){code->start, code};
    engine->sorted = false;
    return ATOLL_OK;
}

void jit_index_remove(struct jit_engine *engine, const struct rt_module *module) {
    size_t kept = 0;
    for (size_t i = 0; i < engine->n_places; i++)
        if (engine->places[i].code->module != module) engine->places[kept++] = engine->places[i];
    engine->n_places = kept;
}

static int by_start(const void *x, const void *y) {
    const struct jit_place *p = x, *q = y;
    return (p->start > q->start) - (p->start < q->start);
}

const struct jit_code *jit_index_find(struct jit_engine *engine, const uint8_t *pc) {
    if (!engine->sorted && engine->n_places)
        qsort(engine->places, engine->n_places, sizeof *engine->places, by_start);
    engine->sorted = true;
    size_t low = 0, high = engine->n_places;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (engine->places[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low) return NULL;
    const struct jit_code *code = engine->places[low - 1].code;
    return pc <= code->start + code->size ? code : NULL;
}
