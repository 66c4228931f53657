/* tests/sysvm/dev/probe_device.h: a virtio device that serves nothing and counts what it is told. */
#ifndef ATOLL_TESTS_PROBE_DEVICE_H
#define ATOLL_TESTS_PROBE_DEVICE_H

#include "tests/sysvm/fake_driver.h"
#include "tests/sysvm/suite.h"

#define PROBE_FEATURE (UINT64_C(1) << 3)

struct probe {
    unsigned n_starts, n_notifies, n_resets;
    unsigned last_queue;
    uint64_t features; /* as started */
    uint8_t config[6];
};

static inline uint64_t probe_features(void *dev) {
    (void)dev;
    return PROBE_FEATURE;
}
static inline void probe_config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    assert_true(offset + n <= 6);
    memcpy(data, ((struct probe *)dev)->config + offset, n);
}
static inline void probe_config_write(void *dev, uint32_t offset, const void *data, unsigned n) {
    assert_true(offset + n <= 6);
    memcpy(((struct probe *)dev)->config + offset, data, n);
}
static inline void probe_start(void *dev, struct virtio_device *vdev, uint64_t features) {
    struct probe *p = dev;
    (void)vdev;
    p->n_starts++;
    p->features = features;
}
static inline void probe_notify(void *dev, unsigned queue) {
    struct probe *p = dev;
    p->n_notifies++;
    p->last_queue = queue;
}
static inline void probe_reset(void *dev) { ((struct probe *)dev)->n_resets++; }
static inline void probe_free(void *dev) { (void)dev; }

static const struct virtio_ops probe_ops = {.name = "probe",
                                            .id = VIRTIO_RNG,
                                            .n_queues = 2,
                                            .queue_size_max = 256,
                                            .config_bytes = 6,
                                            .features = probe_features,
                                            .config_read = probe_config_read,
                                            .config_write = probe_config_write,
                                            .start = probe_start,
                                            .notify = probe_notify,
                                            .reset = probe_reset,
                                            .free = probe_free};

#endif
