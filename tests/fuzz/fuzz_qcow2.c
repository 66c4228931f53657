/* tests/fuzz/fuzz_qcow2.c: an image of any bytes, opened, read, written, cleared, resized, checked and mended.
 *
 *   input   u8 mode, u16 size of a script, the script, the image
 *   mode    bit 0: to be read only; bit 1: checked first (with repair unless read only); bit 2: memory runs out
 *   script  8 bytes a request: kind, u24 place, u16 size, two spare; numbers little-endian
 *
 * Nothing may crash, hang, leak, or take more memory than the tables of the file; and what an image accepted and
 * flushed without a fault reads back as it was written. */
#include "sysvm/image/qcow2.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sysvm/image/memory_file.h"

enum { CAPACITY = 4 << 20, REQUESTS_MAX = 64, BYTES_MAX = 1 << 16 };

static uint8_t bytes[BYTES_MAX], again[BYTES_MAX];

struct request {
    unsigned kind;
    uint64_t place, size;
};

static struct request parse(const uint8_t *at, uint64_t disk_size) {
    struct request r = {.kind = at[0], .place = at[1] | at[2] << 8 | (uint64_t)at[3] << 16};
    r.size = at[4] | (uint64_t)at[5] << 8;
    if (at[6] & 1 && disk_size) r.place = (r.place * UINT64_C(0x9E3779B97F4A7C15)) % disk_size; /* far away */
    if (at[6] & 2) r.place &= ~UINT64_C(511), r.size &= ~UINT64_C(511);
    return r;
}

static void write_and_read(struct img *img, const struct request *r, bool sane) {
    struct iovec out[2] = {{bytes, r->size / 3}, {bytes + r->size / 3, r->size - r->size / 3}};
    struct iovec in = {again, r->size};
    memset(bytes, (int)r->kind ^ 0x5c, r->size);
    if (img_writev(img, out, 2, r->place) || !sane) return;
    FUZZ_CHECK(!img_readv(img, &in, 1, r->place) && !memcmp(bytes, again, r->size));
}

static void perform(struct img *img, const struct request *r, bool sane) {
    struct iovec in = {again, r->size};
    struct img_extent extent;
    struct atoll_error err;
    switch (r->kind % 8) {
    case 0: img_readv(img, &in, 1, r->place); break;
    case 1:
    case 2: write_and_read(img, r, sane); break;
    case 3: img_discard(img, r->place, r->size << (r->kind / 8 % 16)); break;
    case 4: img_write_zeroes(img, r->place, r->size << (r->kind / 8 % 8), r->kind & 128); break;
    case 5: img_flush(img); break;
    case 6:
        if (!img_extent_at(img, r->place, &extent)) FUZZ_CHECK(extent.n_bytes > 0);
        break;
    case 7: img_resize(img, r->place + r->size, r->kind & 128, &err); break;
    }
}

/* Whether nothing is wrong with it: only then can what is written be expected to stay. */
static bool check(struct img *img, bool repair) {
    struct img_check found;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = img_check(img, repair, NULL, NULL, &found, &err);
    if (status) FUZZ_CHECK(err.code == status && err.text[0]);
    return !status && !found.n_corruptions;
}

static void run(const uint8_t *data, size_t size, const struct atoll_alloc *alloc) {
    unsigned mode = data[0];
    size_t n_script = (size_t)data[1] | (size_t)data[2] << 8;
    const uint8_t *script = data + 3;
    if (n_script > size - 3) n_script = size - 3;
    size_t n_image = size - 3 - n_script;
    if (n_image > CAPACITY) n_image = CAPACITY;
    struct memory_file *m = mf_new(CAPACITY, false);
    memcpy(m->now, script + n_script, n_image);
    m->size = m->file.size = n_image;
    struct img *img = img_new(alloc, "fuzz");
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (!img) {
        mf_close(&m->file);
        return;
    }
    img->file = &m->file;
    img->readonly = mode & 1;
    img->can_discard = true;
    enum atoll_status status = img_qcow2_open(img, &(struct img_qcow2_open){.check = mode & 2}, &err);
    if (status) FUZZ_CHECK(err.code == status && err.text[0]);
    bool sane = !status && (mode & 2) && !(mode & 1) && !(mode & 4) && check(img, true);
    for (size_t i = 0; !status && i + 8 <= n_script && i / 8 < REQUESTS_MAX; i += 8) {
        struct request r = parse(script + i, img->size);
        perform(img, &r, sane);
    }
    if (sane && !img_flush(img) && m->size < CAPACITY) FUZZ_CHECK(check(img, false));
    img_close(img);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_alloc f;
    if (size < 3) return 0;
    fuzz_alloc_init(&f, data[0] & 4 ? data[0] >> 3 : UINT64_MAX);
    run(data, size, &f.alloc);
    FUZZ_CHECK(f.n_bytes == 0);
    return 0;
}
