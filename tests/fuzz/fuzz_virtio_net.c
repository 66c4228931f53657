/* tests/fuzz/fuzz_virtio_net.c: a hostile driver of a network card. The target's own deeds: a frame from outside
 * (length, header), the back end gets busy or free, answers or not, the loop's turn. What the back end is given has to be sound,
 * and goes through the filter in front of libslirp as it would there. */
#include "tests/fuzz/virtio.h"
/* after it */
#include "tests/sysvm/net/fake_back_end.h"

static struct sandbox *sandbox;

static void check_sent(struct fake_back_end *b) {
    static struct vnet_filter filter;
    size_t n_answer = 0;
    if (!b->n_sent) return;
    FUZZ_CHECK(vnet_header_fits(&b->header, b->offloads, b->n_bytes));
    /* In a piece of its own, so that a step over its end shows. */
    uint8_t *copy = malloc(b->n_bytes);
    memcpy(copy, b->bytes, b->n_bytes);
    vnet_checksum(&b->header, copy, b->n_bytes);
    filter = (struct vnet_filter){.sandbox = sandbox, .ipv6 = true};
    enum vnet_verdict verdict = vnet_filter_out(&filter, copy, b->n_bytes, &n_answer);
    FUZZ_CHECK((verdict == VNET_REFUSE) == (n_answer != 0) && n_answer <= sizeof filter.answer);
    vnet_filter_in(&filter, copy, b->n_bytes);
    free(copy);
    b->n_sent = 0;
}

static void own_deed(struct vfuzz *v, struct fake_back_end *b, unsigned deed) {
    static uint8_t frame[VNET_FRAME_MAX];
    if (deed == 1) {
        unsigned how = (unsigned)vfuzz_take(v, 1);
        b->busy = how & 1;
        b->answers = how & 2;
        if (!b->busy) b->net.config.writable(b->net.config.context);
        return;
    }
    struct vnet_header header = {.flags = (uint8_t)vfuzz_take(v, 1),
                                 .csum_start = (uint16_t)vfuzz_take(v, 2)};
    size_t n = VNET_FRAME_MIN + vfuzz_take(v, 2) % (VNET_FRAME_MAX - VNET_FRAME_MIN);
    fake_back_end_frame(b, &header, frame, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct vm_loop *loop;
    const struct virtio_ops *ops;
    void *dev;
    if (!sandbox) {
        struct sb_config config = {.alloc = NULL};
        FUZZ_CHECK(!sb_new(&config, &sandbox, NULL));
        FUZZ_CHECK(!sb_rule_connect(sandbox, true, "10.0.0.0/8", NULL));
    }
    FUZZ_CHECK(!vm_loop_new(&atoll_default_alloc, &loop, NULL));
    struct virtio_net_config config = {.loop = loop, .open = fake_back_end_open};
    FUZZ_CHECK(!virtio_net_new(&config, &ops, &dev, NULL));
    struct fake_back_end *b = fake_back_end_made;
    struct vfuzz v;
    vfuzz_begin(&v, data, size, ops, dev);
    for (unsigned i = 0, deed; i < VFUZZ_DEEDS && v.at < v.end; i++) {
        if (!vfuzz_step(&v, 2, &deed)) own_deed(&v, b, deed);
        check_sent(b);
    }
    fake_driver_free(v.d);
    vm_loop_free(loop);
    return 0;
}
