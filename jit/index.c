/* jit/index.c: code by address. */
#include <string.h>
#include "jit/engine.h"

void jit_index_fini(struct jit_engine *engine) {
    atoll_free(engine->alloc, engine->places, engine->cap_places * sizeof *engine->places);
}

/* How many begin there or in front of it. */
static size_t places_up_to(const struct jit_engine *engine, const uint8_t *pc) {
    size_t low = 0, high = engine->n_places;
    if (high && engine->places[high - 1].start <= pc) return high; /* so does most of what is added */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (engine->places[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum atoll_status jit_index_add(struct jit_engine *engine, const struct jit_code *code) {
    if (engine->n_places == engine->cap_places &&
        atoll_grow(engine->alloc, (void **)&engine->places, &engine->cap_places, engine->n_places + 1,
                   sizeof *engine->places))
        return ATOLL_E_NOMEM;
    size_t at = places_up_to(engine, code->start);
    memmove(engine->places + at + 1, engine->places + at, (engine->n_places - at) * sizeof *engine->places);
    engine->places[at] = (struct jit_place){code->start, code};
    engine->n_places++;
    return ATOLL_OK;
}

void jit_index_remove(struct jit_engine *engine, const struct rt_module *module) {
    size_t kept = 0;
    for (size_t i = 0; i < engine->n_places; i++)
        if (engine->places[i].code->module != module) engine->places[kept++] = engine->places[i];
    engine->n_places = kept;
}

const struct jit_code *jit_index_find(const struct jit_engine *engine, const uint8_t *pc) {
    size_t n = places_up_to(engine, pc);
    if (!n) return NULL;
    const struct jit_code *code = engine->places[n - 1].code;
    return pc <= code->start + code->size ? code : NULL;
}
