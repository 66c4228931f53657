/* sysvm/image/qcow2_packed.c: clusters that were compressed. They are read; what is written is not compressed. */
#include <zlib.h>
#include <zstd.h>
#include "sysvm/image/qcow2.h"

/* Both: whether exactly the whole cluster came out. Bytes may follow the stream. */
static bool inflate_cluster(const struct qcow2 *q, size_t n_bytes) {
    z_stream z = {.next_in = q->packed,
                  .avail_in = (unsigned)n_bytes,
                  .next_out = q->plain,
                  .avail_out = (unsigned)q->cluster_size};
    if (inflateInit2(&z, -15) != Z_OK) return false; /* no header */
    int result = inflate(&z, Z_FINISH);
    bool whole = z.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK);
    inflateEnd(&z);
    return whole;
}

static bool zstd_cluster(const struct qcow2 *q, size_t n_bytes) {
    ZSTD_DCtx *z = ZSTD_createDCtx();
    if (!z) return false;
    ZSTD_inBuffer in = {q->packed, n_bytes, 0};
    ZSTD_outBuffer out = {q->plain, q->cluster_size, 0};
    bool failed = ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, 27));
    while (!failed && out.pos < out.size) {
        size_t before = in.pos + out.pos;
        failed = ZSTD_isError(ZSTD_decompressStream(z, &out, &in)) || in.pos + out.pos == before;
    }
    ZSTD_freeDCtx(z);
    return !failed;
}

static int need_buffers(struct qcow2 *q) {
    if (!q->plain) q->plain = atoll_new(q->alloc, 1, q->cluster_size);
    if (!q->packed) q->packed = atoll_new(q->alloc, 2, q->cluster_size);
    return q->plain && q->packed ? 0 : ENOMEM;
}

int qc_unpack(struct qcow2 *q, uint64_t entry) {
    uint64_t offset, n_bytes;
    if (q->plain_entry == entry) return 0;
    int error = need_buffers(q);
    if (error) return error;
    qc_packed_run(q, entry, &offset, &n_bytes);
    if (offset >= q->file_end)
        return img_corrupt(q->img, offset, "a compressed cluster lies behind the end of the file");
    if (n_bytes > 2 * q->cluster_size) n_bytes = 2 * q->cluster_size;
    q->plain_entry = 0;
    if ((error = img_file_read(q->file, q->packed, n_bytes, offset))) return error;
    bool whole = q->header.compression ? zstd_cluster(q, n_bytes) : inflate_cluster(q, n_bytes);
    if (!whole) return img_corrupt(q->img, offset, "a compressed cluster cannot be decompressed");
    q->plain_entry = entry;
    return 0;
}
