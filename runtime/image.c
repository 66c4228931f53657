/* runtime/image.c: a module's initial memory as a sealed memory file that each instance maps copy-on-write,
 * so that starting another instance copies nothing.
 *
 * The image holds the leading data segments, as far as they can be placed without an instance: active,
 * constant offset, one own memory, inside its minimum. Later segments are copied as usual, in order. Made at
 * the second instantiation: a program that runs once gains nothing from it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "runtime/internal.h"

/* Below this much data a copy costs less than the map call and the page faults. */
#define PAYS_FROM_BYTES (UINT64_C(128) << 10)

/* The byte address an offset expression names when it is a plain constant. */
static bool constant_offset(const struct bc_module *bc, struct bc_range expr, uint64_t *out) {
    struct bc_instr instr;
    uint32_t end = expr.offset + expr.size;
    if (bc_decode_instr(bc, expr.offset, end, &instr, NULL)) return false;
    if (instr.op == BC_I32_CONST)
        *out = (uint32_t)instr.i32;
    else if (instr.op == BC_I64_CONST)
        *out = (uint64_t)instr.i64;
    else
        return false;
    return !bc_decode_instr(bc, instr.next, end, &instr, NULL) && instr.op == BC_END && instr.next == end;
}

/* Whether segment `i` can be in an image of memory `memory`, and where. */
static bool placeable(const struct bc_module *bc, uint32_t i, uint32_t memory, uint64_t *out_at) {
    const struct bc_data *data = bc->datas + i;
    const struct bc_limits *limits = &bc->memories[memory].limits;
    if (data->memory != memory || !constant_offset(bc, data->offset, out_at)) return false;
    uint64_t pages = limits->min, bytes = pages << limits->page_size_log2;
    if (bytes >> limits->page_size_log2 != pages) return false;
    return *out_at <= bytes && data->bytes.size <= bytes - *out_at;
}

/* Measures the image: which segments, which range, how much of it is data. */
static uint64_t plan(const struct bc_module *bc, struct rt_image *image) {
    uint64_t low = UINT64_MAX, high = 0, total = 0;
    image->memory = BC_NONE;
    for (uint32_t i = 0; i < bc->n_datas; i++) {
        const struct bc_data *data = bc->datas + i;
        uint64_t at;
        if (data->mode != BC_SEGMENT_ACTIVE) continue;
        if (image->memory == BC_NONE) image->memory = data->memory;
        if (image->memory < bc->n_imported_memories || !placeable(bc, i, image->memory, &at)) break;
        image->n_segments = i + 1;
        if (!data->bytes.size) continue;
        if (at < low) low = at;
        if (at + data->bytes.size > high) high = at + data->bytes.size;
        total += data->bytes.size;
    }
    if (!total) return 0;
    image->start = low & ~(RT_HOST_PAGE - 1);
    image->size = rt_host_page_up(high) - image->start;
    return total;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size, uint64_t at) {
    while (size) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)at);
        if (n <= 0) return false;
        bytes += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return true;
}

static bool write_segments(const struct bc_module *bc, const struct rt_image *image) {
    for (uint32_t i = 0; i < image->n_segments; i++) {
        const struct bc_data *data = bc->datas + i;
        uint64_t at;
        if (data->mode != BC_SEGMENT_ACTIVE || !data->bytes.size) continue;
        if (!constant_offset(bc, data->offset, &at)) return false;
        if (!write_all(image->fd, bc->bytes + data->bytes.offset, data->bytes.size, at - image->start))
            return false;
    }
    return true;
}

static bool fill_file(const struct bc_module *bc, const struct rt_image *image) {
    return !ftruncate(image->fd, (off_t)image->size) && write_segments(bc, image) &&
           !fcntl(image->fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

static struct rt_image *make_image(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct rt_image plan_of = {.fd = -1};
    uint64_t total = plan(module->bc, &plan_of);
    /* mostly holes: every touched hole would cost a page of the file and a copy of it */
    if (total < PAYS_FROM_BYTES || plan_of.size > 2 * total) return NULL;
    struct rt_image *image = atoll_new(alloc, 1, sizeof *image);
    if (!image) return NULL;
    *image = plan_of;
    image->fd = memfd_create("atoll-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image->fd >= 0 && fill_file(module->bc, image)) return image;
    rt_image_free(image, alloc);
    return NULL;
}

const struct rt_image *rt_image_of(struct rt_module *module) {
    if (!module->bc->n_datas) return NULL;
    pthread_mutex_lock(&module->lock);
    if (!module->image_tried) {
        module->image_tried = true;
        module->image = make_image(module);
    }
    const struct rt_image *image = module->image;
    pthread_mutex_unlock(&module->lock);
    return image;
}

bool rt_image_map(const struct rt_image *image, struct rt_memory *memory) {
    void *at = memory->base + image->start;
    return mmap(at, image->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, image->fd,
                0) == at;
}

void rt_image_free(struct rt_image *image, const struct atoll_alloc *alloc) {
    if (!image) return;
    if (image->fd >= 0) close(image->fd);
    atoll_free(alloc, image, sizeof *image);
}
