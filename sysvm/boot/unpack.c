/* sysvm/boot/unpack.c: compressed kernels, by the libraries that know the formats. */
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>
#include "sysvm/boot/internal.h"

static const struct {
    enum boot_packing packing;
    uint8_t n, magic[6];
} magics[] = {
    {BOOT_GZIP, 2, {0x1F, 0x8B}},
    {BOOT_XZ, 6, {0xFD, '7', 'z', 'X', 'Z', 0}},
    {BOOT_ZSTD, 4, {0x28, 0xB5, 0x2F, 0xFD}},
    {BOOT_LZ4, 4, {0x02, 0x21, 0x4C, 0x18}}, /* the "legacy" frame, which kernels use */
    {BOOT_LZMA, 3, {0x5D, 0, 0}},
};
static const char *const names[] = {"", "gzip", "xz", "lzma", "zstd", "lz4"};

enum boot_packing boot_packing_of(struct vm_bytes bytes) {
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (bytes.size > magics[i].n && memcmp(bytes.data, magics[i].magic, magics[i].n) == 0)
            return magics[i].packing;
    return BOOT_PLAIN;
}

/* Each: 0 and out->size, or one of these. */
enum result { DONE, BROKEN, TOO_LARGE, NO_MEMORY };

static enum result unpack_gzip(struct vm_bytes in, struct boot_unpacked *out) {
    enum { GZIP_HEADER = 16 };
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in.data, .next_out = out->data};
    if (inflateInit2(&stream, MAX_WBITS + GZIP_HEADER) != Z_OK) return NO_MEMORY;
    size_t in_left = in.size, out_left = out->room;
    int status;
    do { /* zlib counts in 32 bits */
        uInt in_now = in_left > UINT32_MAX ? UINT32_MAX : (uInt)in_left;
        uInt out_now = out_left > UINT32_MAX ? UINT32_MAX : (uInt)out_left;
        stream.avail_in = in_now, stream.avail_out = out_now;
        status = inflate(&stream, Z_NO_FLUSH);
        in_left -= in_now - stream.avail_in, out_left -= out_now - stream.avail_out;
    } while (status == Z_OK && in_left && out_left);
    inflateEnd(&stream);
    out->size = out->room - out_left;
    if (status == Z_MEM_ERROR) return NO_MEMORY;
    return status == Z_STREAM_END ? DONE : out_left ? BROKEN : TOO_LARGE;
}

static enum result unpack_lzma(bool alone, struct vm_bytes in, struct boot_unpacked *out) {
    const uint64_t memory_max = UINT64_C(160) << 20; /* dictionaries of 128 MiB: the kernel's own limit */
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_ret status =
        alone ? lzma_alone_decoder(&stream, memory_max) : lzma_stream_decoder(&stream, memory_max, 0);
    if (status == LZMA_OK) {
        stream.next_in = in.data, stream.avail_in = in.size;
        stream.next_out = out->data, stream.avail_out = out->room;
        status = lzma_code(&stream, LZMA_FINISH);
    }
    out->size = out->room - stream.avail_out;
    bool full = !stream.avail_out;
    lzma_end(&stream);
    if (status == LZMA_STREAM_END) return DONE;
    if (status == LZMA_MEM_ERROR || status == LZMA_MEMLIMIT_ERROR) return NO_MEMORY;
    return full ? TOO_LARGE : BROKEN;
}

static enum result unpack_zstd(struct vm_bytes in, struct boot_unpacked *out) {
    size_t n = ZSTD_findFrameCompressedSize(in.data, in.size);
    if (ZSTD_isError(n)) return BROKEN;
    unsigned long long size = ZSTD_getFrameContentSize(in.data, n);
    if (size != ZSTD_CONTENTSIZE_UNKNOWN && size > out->room) return TOO_LARGE;
    n = ZSTD_decompress(out->data, out->room, in.data, n);
    if (ZSTD_isError(n)) return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? TOO_LARGE : BROKEN;
    out->size = n;
    return DONE;
}

/* Blocks of at most 8 MiB unpacked, each behind its packed size; a kernel's own size follows the last. */
static enum result unpack_lz4(struct vm_bytes in, struct boot_unpacked *out) {
    enum { BLOCK = 8 << 20 };
    size_t at = 4;
    while (in.size - at > 4) {
        uint32_t n = get_u32(in.data + at);
        if (!n || n > (uint32_t)LZ4_compressBound(BLOCK) || n > in.size - at - 4)
            return out->size ? DONE : BROKEN;
        size_t room = out->room - out->size;
        if (!room) return TOO_LARGE;
        int got = LZ4_decompress_safe((const char *)in.data + at + 4, (char *)out->data + out->size, (int)n,
                                      room > BLOCK ? BLOCK : (int)room);
        if (got < 0) return room < BLOCK ? TOO_LARGE : BROKEN;
        out->size += (size_t)got;
        at += 4 + n;
        if (got < BLOCK) break; /* only the last one is shorter */
    }
    return DONE;
}

static enum result unpack(enum boot_packing packing, struct vm_bytes in, struct boot_unpacked *out) {
    switch (packing) {
    case BOOT_GZIP: return unpack_gzip(in, out);
    case BOOT_XZ: return unpack_lzma(false, in, out);
    case BOOT_LZMA: return unpack_lzma(true, in, out);
    case BOOT_ZSTD: return unpack_zstd(in, out);
    case BOOT_LZ4: return unpack_lz4(in, out);
    case BOOT_PLAIN: break;
    }
    return BROKEN;
}

enum atoll_status boot_unpack_to(enum boot_packing packing, struct vm_bytes packed, uint8_t *to, size_t room,
                                 size_t *out_size, struct atoll_error *err) {
    struct boot_unpacked out = {.data = to, .room = room < BOOT_UNPACKED_MAX ? room : BOOT_UNPACKED_MAX};
    enum result result = unpack(packing, packed, &out);
    *out_size = out.size;
    if (result == DONE) return ATOLL_OK;
    if (result == NO_MEMORY)
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "no memory to unpack the kernel (%s)",
                          names[packing]);
    if (result == TOO_LARGE)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          room < BOOT_UNPACKED_MAX ? "the unpacked kernel (%s) needs more than the %zu bytes "
                                                     "of guest memory that are there for it"
                                                   : "the unpacked kernel (%s) is larger than %zu bytes",
                          names[packing], out.room);
    return atoll_fail(err, ATOLL_E_MALFORMED, ATOLL_NO_OFFSET, "broken %s data in the kernel",
                      names[packing]);
}

enum atoll_status boot_unpacked_new(size_t room, struct boot_unpacked *out, struct atoll_error *err) {
    void *data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *out = (struct boot_unpacked){.data = data, .room = room};
    return ATOLL_OK;
}

enum atoll_status boot_unpack(enum boot_packing packing, struct vm_bytes packed, size_t max_bytes,
                              struct boot_unpacked *out, struct atoll_error *err) {
    enum atoll_status status =
        boot_unpacked_new(max_bytes < BOOT_UNPACKED_MAX ? max_bytes : BOOT_UNPACKED_MAX, out, err);
    if (status != ATOLL_OK) return status;
    status = boot_unpack_to(packing, packed, out->data, out->room, &out->size, err);
    if (status != ATOLL_OK) boot_unpacked_free(out);
    return status;
}

void boot_unpacked_free(struct boot_unpacked *unpacked) {
    munmap(unpacked->data, unpacked->room);
    *unpacked = (struct boot_unpacked){0};
}
