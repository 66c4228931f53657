/* tests/fuzz/fuzz_block.c: a driver of virtio-blk that is out of its mind.
 *
 *   input   again and again: u8 what, then
 *     0..3   a chain: u8 segments (1 to 8), each u8 flags (bit 0: the device writes; bit 1: header bytes follow),
 *            u16 place in RAM, u16 size; with bit 1 16 bytes that are put there
 *     4      kick   5 wait for the ends   6 reset and start again with any features (u64)
 *     7      a descriptor by hand: u16 index, u64 address, u32 size, u16 flags, u16 next   8 a head: u16
 *     9      configuration: u8 offset, u8 width
 *
 * The image is qcow2 in memory, so all of it is done by worker threads; each input ends with a reset, after which
 * no byte of RAM changes. */
#include <pthread.h>
#include "sysvm/dev/virtio/block/block.h"
#include "sysvm/loop.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sysvm/fake_driver.h"
#include "tests/sysvm/image/memory_file.h"

enum { RAM = 1 << 20, DISK_BYTES = 1 << 20, STEPS_MAX = 200 };

struct input {
    const uint8_t *at, *end;
};

static uint64_t number(struct input *in, unsigned n_bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < n_bytes && in->at < in->end; i++) v |= (uint64_t)*in->at++ << 8 * i;
    return v;
}

static struct img *make_image(void) {
    struct img_create how = {.format = IMG_QCOW2, .size = DISK_BYTES, .cluster_bits = 12};
    struct atoll_error err;
    struct memory_file *m = mf_new(4 << 20, false);
    FUZZ_CHECK(!img_qcow2_format(&m->file, &how, &err));
    struct img *img = mf_image(m, false, false, &err);
    FUZZ_CHECK(img);
    return img;
}

static void put_chain(struct fake_driver *d, struct input *in) {
    struct fake_segment segments[8];
    unsigned n = 1 + (unsigned)number(in, 1) % 8;
    for (unsigned i = 0; i < n; i++) {
        unsigned flags = (unsigned)number(in, 1);
        segments[i] = (struct fake_segment){number(in, 2) * 8, (uint32_t)number(in, 2), flags & 1};
        if (!(flags & 2) || segments[i].gpa + 16 > RAM) continue;
        uint8_t *at = fake_at(d, segments[i].gpa, 16);
        for (unsigned k = 0; k < 16; k++) at[k] = (uint8_t)number(in, 1);
    }
    fake_offer(d, 0, segments, n);
}

static void take_ends(struct fake_driver *d) {
    struct fake_used used;
    for (unsigned i = 0; i < 64 && fake_take_used(d, 0, &used); i++) continue;
}

static void restart(struct fake_driver *d, uint64_t features) {
    d->next_free = RAM / 2; /* the rings are in the half that small places cannot name */
    fake_start(d, features);
}

static void step(struct fake_driver *d, struct vm_loop *loop, struct input *in) {
    uint8_t config[8];
    switch (number(in, 1) % 10) {
    default: put_chain(d, in); break;
    case 4: fake_kick(d, 0); break;
    case 5:
        vm_loop_unlock(loop);
        vm_loop_lock(loop);
        take_ends(d);
        break;
    case 6: restart(d, number(in, 8)); break;
    case 7: {
        uint16_t index = (uint16_t)(number(in, 2) % 64);
        uint64_t gpa = number(in, 8);
        uint32_t n = (uint32_t)number(in, 4);
        uint16_t flags = (uint16_t)number(in, 2);
        fake_set_descriptor(d, 0, index, gpa, n, flags, (uint16_t)number(in, 2));
        break;
    }
    case 8: fake_make_available(d, 0, (uint16_t)number(in, 2)); break;
    case 9: {
        uint8_t offset = (uint8_t)number(in, 1);
        virtio_config_read(d->vdev, offset, config, 1 + (unsigned)number(in, 1) % 8);
    }
    }
}

static void *run_loop(void *loop) {
    vm_loop_run(loop);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    struct sandbox *sb;
    struct vm_loop *loop;
    const struct virtio_ops *ops;
    void *dev;
    pthread_t thread;
    struct img *img = make_image();
    FUZZ_CHECK(!sb_new(&(struct sb_config){0}, &sb, NULL));
    FUZZ_CHECK(!vm_loop_new(&atoll_default_alloc, &loop, NULL));
    FUZZ_CHECK(!pthread_create(&thread, NULL, run_loop, loop));
    vm_loop_lock(loop);
    struct vblk_config config = {
        .alloc = &atoll_default_alloc, .loop = loop, .sandbox = sb, .img = img, .no_uring = true};
    FUZZ_CHECK(!vblk_new(&config, &ops, &dev, NULL));
    struct fake_driver *d = fake_driver_new(RAM, ops, dev);
    restart(d, UINT64_MAX);
    for (unsigned i = 0; i < STEPS_MAX && in.at < in.end; i++) step(d, loop, &in);
    fake_kick(d, 0);
    virtio_set_status(d->vdev, 0);
    uint64_t before = fuzz_hash(FUZZ_HASH_START, fake_at(d, 0, RAM), RAM);
    vm_loop_unlock(loop);
    vm_loop_stop(loop);
    pthread_join(thread, NULL);
    vm_loop_lock(loop);
    FUZZ_CHECK(fuzz_hash(FUZZ_HASH_START, fake_at(d, 0, RAM), RAM) == before);
    fake_driver_free(d);
    vm_loop_unlock(loop);
    vm_loop_free(loop);
    img_close(img);
    sb_free(sb);
    return 0;
}
