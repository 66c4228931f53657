/* tests/sysvm/boot/unpack_test.c: each packing kernels come in, whole, cut, damaged, and larger than allowed. */
#include <lz4.h>
#include <lz4hc.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include "tests/sysvm/suite.h"
#include "sysvm/boot/internal.h"

enum { PLAIN_BYTES = 9 << 20, ROOM = 10 << 20 }; /* more than a block of lz4 */

static uint8_t *plain, *packed;
static size_t n_plain; /* bytes of it to pack */

static size_t pack_gzip(void) {
    z_stream stream = {.next_in = plain, .avail_in = (uInt)n_plain, .next_out = packed, .avail_out = ROOM};
    deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static size_t pack_xz(void) {
    size_t n = 0;
    assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, plain, n_plain, packed, &n, ROOM),
                     LZMA_OK);
    return n;
}

static size_t pack_lzma(void) {
    lzma_options_lzma options;
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_lzma_preset(&options, 1);
    assert_int_equal(lzma_alone_encoder(&stream, &options), LZMA_OK);
    stream.next_in = plain, stream.avail_in = n_plain, stream.next_out = packed, stream.avail_out = ROOM;
    assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
    lzma_end(&stream);
    return ROOM - stream.avail_out;
}

/* Without its unpacked size, as kernels are packed from a pipe. */
static size_t pack_zstd(void) {
    ZSTD_CCtx *context = ZSTD_createCCtx();
    assert_non_null(context);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
    size_t n = ZSTD_compress2(context, packed, ROOM, plain, n_plain);
    ZSTD_freeCCtx(context);
    assert_false(ZSTD_isError(n));
    return n;
}

static size_t pack_lz4(void) {
    enum { BLOCK = 8 << 20 };
    size_t n = 4;
    put_u32(packed, 0x184C2102);
    for (size_t at = 0; at < n_plain; at += BLOCK) {
        int size = n_plain - at < BLOCK ? (int)(n_plain - at) : BLOCK;
        int got = LZ4_compress_default((char *)plain + at, (char *)packed + n + 4, size, (int)(ROOM - n - 4));
        assert_true(got > 0);
        put_u32(packed + n, (uint32_t)got);
        n += 4 + (size_t)got;
    }
    return n;
}

static size_t (*const packers[])(void) = {[BOOT_GZIP] = pack_gzip,
                                          [BOOT_XZ] = pack_xz,
                                          [BOOT_LZMA] = pack_lzma,
                                          [BOOT_ZSTD] = pack_zstd,
                                          [BOOT_LZ4] = pack_lz4};
#define FIRST BOOT_GZIP
#define LAST  BOOT_LZ4

static int large(void **state) {
    (void)state;
    n_plain = PLAIN_BYTES;
    return 0;
}

static int small(void **state) {
    (void)state;
    n_plain = 50000;
    return 0;
}

static int set_up(void **state) {
    (void)state;
    plain = malloc(PLAIN_BYTES);
    packed = malloc(ROOM);
    uint32_t x = 1;
    for (size_t i = 0; i < PLAIN_BYTES; i++)
        plain[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 30); /* packs to a quarter */
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    free(plain);
    free(packed);
    return 0;
}

static enum atoll_status unpack(enum boot_packing packing, size_t n, size_t max, struct boot_unpacked *out) {
    struct atoll_error err = {0};
    enum atoll_status status = boot_unpack(packing, (struct vm_bytes){packed, n}, max, out, &err);
    if (status != ATOLL_OK) assert_true(err.code == status && err.text[0]);
    return status;
}

static void each_packing_comes_back_whole(void **state) {
    (void)state;
    for (enum boot_packing i = FIRST; i <= LAST; i++) {
        struct boot_unpacked out;
        size_t n = packers[i]();
        assert_int_equal(boot_packing_of((struct vm_bytes){packed, n}), i);
        assert_int_equal(unpack(i, n, PLAIN_BYTES, &out), ATOLL_OK);
        assert_int_equal(out.size, PLAIN_BYTES);
        assert_memory_equal(out.data, plain, PLAIN_BYTES);
        boot_unpacked_free(&out);
    }
}

static void a_size_behind_the_data_is_ignored(void **state) {
    (void)state;
    for (enum boot_packing i = FIRST; i <= LAST; i++) {
        struct boot_unpacked out;
        size_t n = packers[i]();
        put_u32(packed + n, (uint32_t)n_plain);
        assert_int_equal(unpack(i, n + 4, ROOM, &out), ATOLL_OK);
        assert_int_equal(out.size, n_plain);
        boot_unpacked_free(&out);
    }
}

static void more_than_allowed_is_refused(void **state) {
    (void)state;
    for (enum boot_packing i = FIRST; i <= LAST; i++) {
        struct boot_unpacked out;
        size_t n = packers[i]();
        assert_int_equal(unpack(i, n, n_plain - 1, &out), ATOLL_E_LIMIT);
        assert_int_equal(unpack(i, n, 4096, &out), ATOLL_E_LIMIT);
    }
}

static void cut_and_damaged_data_ends_well(void **state) {
    (void)state;
    for (enum boot_packing i = FIRST; i <= LAST; i++) {
        struct boot_unpacked out;
        size_t n = packers[i]();
        assert_int_not_equal(unpack(i, n / 3, ROOM, &out), ATOLL_OK); /* inside the first block of all */
        for (size_t at = 0; at < 40; at++) {
            packed[at] ^= 0x55;
            if (unpack(i, n, ROOM, &out) == ATOLL_OK) boot_unpacked_free(&out);
            packed[at] ^= 0x55;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_packing_comes_back_whole, large),
        cmocka_unit_test_setup(a_size_behind_the_data_is_ignored, small),
        cmocka_unit_test_setup(more_than_allowed_is_refused, small),
        cmocka_unit_test_setup(cut_and_damaged_data_ends_well, small),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
