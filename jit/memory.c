/* jit/memory.c: memory for machine code. One range of addresses an engine, so that any code reaches any other
 * by a 32-bit distance; its pages are readable and executable, and written through a second mapping of the
 * same memory that exists for the time of the writing only. */
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "jit/engine.h"

#define CODE_BYTES ((size_t)1 << 30)
#define PAGE       ((size_t)4096)
#define ALIGNMENT  ((size_t)32)

enum atoll_status jit_memory_open(struct jit_engine *engine) {
    engine->fd = memfd_create("atoll-code", MFD_CLOEXEC);
    if (engine->fd < 0) return ATOLL_E_NOMEM;
    if (ftruncate(engine->fd, (off_t)CODE_BYTES)) goto failed;
    void *base = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, engine->fd, 0);
    if (base == MAP_FAILED) goto failed;
    engine->base = base;
    engine->size = CODE_BYTES;
    return ATOLL_OK;
failed:
    close(engine->fd);
    return ATOLL_E_NOMEM;
}

void jit_memory_close(struct jit_engine *engine) {
    if (!engine->base) return;
    munmap(engine->base, engine->size);
    close(engine->fd);
    atoll_free(engine->alloc, engine->holes, engine->cap_holes * sizeof *engine->holes);
    atoll_free(engine->alloc, engine->places, engine->cap_places * sizeof *engine->places);
}

static size_t rounded(size_t n) { return (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1); }

uint8_t *jit_memory_take(struct jit_engine *engine, size_t n) {
    n = rounded(n);
    for (size_t i = 0; i < engine->n_holes; i++) {
        struct jit_hole *hole = engine->holes + i;
        if (hole->size < n) continue;
        uint8_t *at = engine->base + hole->at;
        hole->at += n;
        hole->size -= n;
        if (!hole->size) *hole = engine->holes[--engine->n_holes];
        return at;
    }
    if (engine->size - engine->used < n) return NULL;
    engine->used += n;
    return engine->base + engine->used - n;
}

void jit_memory_give_back(struct jit_engine *engine, const uint8_t *at, size_t n) {
    struct jit_hole hole = {(size_t)(at - engine->base), rounded(n)};
    for (size_t i = 0; i < engine->n_holes;) { /* join with neighbours */
        struct jit_hole *other = engine->holes + i;
        if (other->at + other->size == hole.at) {
            hole = (struct jit_hole){other->at, other->size + hole.size};
        } else if (hole.at + hole.size == other->at) {
            hole.size += other->size;
        } else {
            i++;
            continue;
        }
        *other = engine->holes[--engine->n_holes];
    }
    if (hole.at + hole.size == engine->used) {
        engine->used = hole.at;
    } else if (engine->n_holes < engine->cap_holes ||
               !atoll_grow(engine->alloc, (void **)&engine->holes, &engine->cap_holes, engine->n_holes + 1,
                           sizeof *engine->holes)) {
        engine->holes[engine->n_holes++] = hole;
    } /* else the addresses are lost until the engine goes */
    size_t from = (hole.at + PAGE - 1) & ~(PAGE - 1), to = (hole.at + hole.size) & ~(PAGE - 1);
    if (to > from)
        fallocate(engine->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
}

enum atoll_status jit_memory_write(struct jit_engine *engine, uint8_t *at, const uint8_t *bytes, size_t n) {
    size_t offset = (size_t)(at - engine->base), from = offset & ~(PAGE - 1);
    size_t to = (offset + n + PAGE - 1) & ~(PAGE - 1);
    uint8_t *view = mmap(NULL, to - from, PROT_READ | PROT_WRITE, MAP_SHARED, engine->fd, (off_t)from);
    if (view == MAP_FAILED) return ATOLL_E_NOMEM;
    memcpy(view + (offset - from), bytes, n);
    munmap(view, to - from);
    return ATOLL_OK;
}

/* ---- code by address ---- */

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
