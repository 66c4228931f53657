/* sysvm/net/header.c: headers of frames, checked, and what they ask for, done. */
#include <string.h>
#include "sysvm/net/internal.h"

bool vnet_header_fits(const struct vnet_header *header, uint32_t offloads, size_t n_bytes) {
    if (n_bytes < VNET_FRAME_MIN || n_bytes > VNET_FRAME_MAX) return false;
    bool sums = header->flags & VNET_NEEDS_CSUM;
    if (sums && !(offloads & VNET_TX_CSUM)) return false;
    if (sums && (size_t)header->csum_start + header->csum_offset + 2 > n_bytes) return false;
    unsigned type = header->gso_type & ~(unsigned)VNET_GSO_ECN;
    if (type == VNET_GSO_NONE) return header->gso_type == VNET_GSO_NONE;
    if ((header->gso_type & VNET_GSO_ECN) && !(offloads & VNET_TX_ECN)) return false;
    uint32_t needed = type == VNET_GSO_TCPV4 ? VNET_TX_TSO4 : type == VNET_GSO_TCPV6 ? VNET_TX_TSO6 : 0;
    if (!(offloads & needed)) return false;
    return sums && header->gso_size > 0 && header->hdr_len <= n_bytes;
}

uint64_t vnet_sum(uint64_t sum, const void *bytes, size_t n_bytes) {
    const uint8_t *p = bytes;
    uint32_t word;
    for (; n_bytes >= sizeof word; p += sizeof word, n_bytes -= sizeof word) {
        memcpy(&word, p, sizeof word);
        sum += word; /* 65 KiB of these stay far below 64 bits */
    }
    word = 0;
    memcpy(&word, p, n_bytes);
    return sum + word;
}

uint16_t vnet_sum_fold(uint64_t sum) {
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

void vnet_checksum(const struct vnet_header *header, uint8_t *frame, size_t n_bytes) {
    if (!(header->flags & VNET_NEEDS_CSUM)) return;
    uint16_t sum = vnet_sum_fold(vnet_sum(0, frame + header->csum_start, n_bytes - header->csum_start));
    if (sum == 0) sum = 0xFFFF; /* the same number, and to UDP not "none" */
    memcpy(frame + header->csum_start + header->csum_offset, &sum, sizeof sum);
}
