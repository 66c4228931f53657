/* sysvm/net/virtio_net.c: see virtio_net.h. */
#include <endian.h>
#include <string.h>
#include <sys/random.h>
#include "sysvm/net/internal.h"
#include "sysvm/net/virtio_net.h"

enum { RX, TX, CONTROL, N_QUEUES };
enum { QUEUE_SIZE = 256, CHAINS_A_TURN = 256 }; /* served before others get their turn */
enum { HEADER_BYTES = 12, MAC_BYTES = 6, LINK_UP = 1 };

enum {
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_CTRL_GUEST_OFFLOADS = 2,
    F_MAC = 5,
    F_GUEST_TSO4 = 7,
    F_GUEST_TSO6 = 8,
    F_GUEST_ECN = 9,
    F_HOST_TSO4 = 11,
    F_HOST_TSO6 = 12,
    F_HOST_ECN = 13,
    F_MRG_RXBUF = 15,
    F_STATUS = 16,
    F_CTRL_VQ = 17,
    F_CTRL_RX = 18,
    F_CTRL_MAC_ADDR = 23
};

/* A feature, and the offload it stands for. */
static const struct {
    unsigned bit;
    uint32_t offload;
} offload_bits[] = {{F_CSUM, VNET_TX_CSUM},       {F_HOST_TSO4, VNET_TX_TSO4},  {F_HOST_TSO6, VNET_TX_TSO6},
                    {F_HOST_ECN, VNET_TX_ECN},    {F_GUEST_CSUM, VNET_RX_CSUM}, {F_GUEST_TSO4, VNET_RX_TSO4},
                    {F_GUEST_TSO6, VNET_RX_TSO6}, {F_GUEST_ECN, VNET_RX_ECN}};
#define N_OFFLOADS   (sizeof offload_bits / sizeof *offload_bits)
#define RX_OFFLOADS  (VNET_RX_CSUM | VNET_RX_TSO4 | VNET_RX_TSO6 | VNET_RX_ECN)
#define BIT(feature) (UINT64_C(1) << (feature))

struct wire_header { /* little-endian */
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
_Static_assert(sizeof(struct wire_header) == HEADER_BYTES, "as on the wire");

/* A buffer of the receive queue that a frame is being written to. */
struct held {
    uint16_t head;
    uint32_t generation;
    uint32_t written;
    uint64_t in_bytes;
};

struct card {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop;
    struct vnet *net;
    struct virtio_device *vdev; /* NULL: not started */
    uint64_t features;
    uint32_t offloads; /* agreed on */
    uint8_t mac[MAC_BYTES];
    bool posted; /* resume is under way */
    struct held held[QUEUE_SIZE];
    struct vq_chain chain;       /* of the driver's requests */
    struct vq_chain first, next; /* of buffers: a frame may come while one is being sent */
    struct iovec iov[VQ_MAX_SEGMENTS];
};

static uint32_t offloads_of(uint64_t features) {
    uint32_t offloads = 0;
    for (size_t i = 0; i < N_OFFLOADS; i++)
        if (features & BIT(offload_bits[i].bit)) offloads |= offload_bits[i].offload;
    return offloads;
}

/* ---- to the back end ---- */

static void resume(void *context);

static void go_on_later(struct card *card) {
    if (!card->posted) card->posted = vm_loop_post(card->loop, resume, card) == 0;
}

/* The frame behind the header of card->chain, as pieces in card->iov. */
static int frame_pieces(struct card *card) {
    size_t skip = HEADER_BYTES;
    int n = 0;
    for (uint16_t i = 0; i < card->chain.n_out; i++) {
        struct iovec piece = card->chain.iov[i];
        size_t cut = skip < piece.iov_len ? skip : piece.iov_len;
        skip -= cut;
        if (piece.iov_len == cut) continue;
        card->iov[n++] = (struct iovec){(uint8_t *)piece.iov_base + cut, piece.iov_len - cut};
    }
    return n;
}

/* Sends card->chain; false when the back end cannot now. What does not fit is dropped: there is nobody to tell. */
static bool send_chain(struct card *card) {
    struct wire_header h;
    const struct vq_chain *chain = &card->chain;
    if (vq_chain_read(chain, 0, &h, sizeof h) < sizeof h) return true;
    struct vnet_header header = {.flags = h.flags & VNET_NEEDS_CSUM,
                                 .gso_type = h.gso_type,
                                 .hdr_len = le16toh(h.hdr_len),
                                 .gso_size = le16toh(h.gso_size),
                                 .csum_start = le16toh(h.csum_start),
                                 .csum_offset = le16toh(h.csum_offset)};
    if (!vnet_header_fits(&header, card->offloads, chain->out_bytes - HEADER_BYTES)) return true;
    return vnet_send(card->net, &header, card->iov, frame_pieces(card)) == 0;
}

static void transmit(struct card *card) {
    struct vq *q = virtio_queue(card->vdev, TX);
    int n = 0;
    for (; n < CHAINS_A_TURN && vq_pop(q, &card->chain) == VQ_CHAIN; n++) {
        if (!send_chain(card)) {
            vq_unpop(q, &card->chain); /* until `writable` */
            break;
        }
        vq_push(q, &card->chain, 0);
    }
    vq_interrupt(q);
    if (n == CHAINS_A_TURN) go_on_later(card);
}

static void writable(void *context) {
    struct card *card = context;
    if (card->vdev) transmit(card);
}

/* ---- to the guest ---- */

static void unpop_held(struct card *card, struct vq *q, unsigned n) {
    while (n-- > 0) {
        card->next.head = card->held[n].head;
        card->next.generation = card->held[n].generation;
        vq_unpop(q, &card->next);
    }
}

static void push_held(struct card *card, struct vq *q, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        card->next.head = card->held[i].head;
        card->next.generation = card->held[i].generation;
        card->next.in_bytes = card->held[i].in_bytes;
        vq_push(q, &card->next, card->held[i].written);
    }
}

static void put_header(const struct vq_chain *chain, const struct vnet_header *header, unsigned n_buffers) {
    struct wire_header h = {.flags = header->flags,
                            .gso_type = header->gso_type,
                            .hdr_len = htole16(header->hdr_len),
                            .gso_size = htole16(header->gso_size),
                            .csum_start = htole16(header->csum_start),
                            .csum_offset = htole16(header->csum_offset),
                            .num_buffers = htole16((uint16_t)n_buffers)};
    vq_chain_write(chain, 0, &h, sizeof h);
}

/* Writes a frame over as many buffers as it takes. They are taken for good only when all of it is there, so that
 * the next attempt starts from the first again. False: too few. */
static bool scatter(struct card *card, struct vq *q, const struct vnet_header *header, const uint8_t *frame,
                    size_t n_bytes) {
    bool merges = card->features & BIT(F_MRG_RXBUF);
    size_t done = 0;
    unsigned n = 0;
    while (n == 0 || done < n_bytes) {
        struct vq_chain *chain = n == 0 ? &card->first : &card->next;
        if (n == QUEUE_SIZE || vq_pop(q, chain) != VQ_CHAIN) return unpop_held(card, q, n), false;
        size_t skip = n == 0 ? HEADER_BYTES : 0, left = n_bytes - done;
        size_t room = chain->in_bytes > skip ? chain->in_bytes - skip : 0;
        if (n == 0 && (chain->in_bytes < HEADER_BYTES || (!merges && room < n_bytes))) {
            vq_push(q, chain, 0); /* no buffer for a frame like this: both are lost */
            return true;
        }
        size_t part = vq_chain_write(chain, skip, frame + done, left < room ? left : room);
        card->held[n++] =
            (struct held){chain->head, chain->generation, (uint32_t)(skip + part), chain->in_bytes};
        done += part;
    }
    put_header(&card->first, header, n);
    push_held(card, q, n);
    return true;
}

static bool receive(void *context, const struct vnet_header *header, const uint8_t *frame, size_t n_bytes) {
    struct card *card = context;
    if (!card->vdev) return true; /* nobody listens */
    return scatter(card, virtio_queue(card->vdev, RX), header, frame, n_bytes);
}

static void received(void *context) {
    struct card *card = context;
    if (card->vdev) vq_interrupt(virtio_queue(card->vdev, RX));
}

/* ---- the control queue ---- */

enum { CTRL_RX = 0, CTRL_MAC = 1, CTRL_OFFLOADS = 5 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, OFFLOADS_SET = 0, RX_LAST = 5 };
enum { ACK_OK = 0, ACK_ERROR = 1 };

static uint8_t set_offloads(struct card *card, const struct vq_chain *chain) {
    uint64_t wanted, allowed = 0;
    if (vq_chain_read(chain, 2, &wanted, sizeof wanted) < sizeof wanted) return ACK_ERROR;
    wanted = le64toh(wanted);
    for (size_t i = 0; i < N_OFFLOADS; i++)
        if (offload_bits[i].offload & RX_OFFLOADS) allowed |= BIT(offload_bits[i].bit) & card->features;
    if (!(card->features & BIT(F_CTRL_GUEST_OFFLOADS)) || (wanted & ~allowed)) return ACK_ERROR;
    card->offloads = (card->offloads & ~(uint32_t)RX_OFFLOADS) | offloads_of(wanted);
    vnet_set_offloads(card->net, card->offloads);
    return ACK_OK;
}

/* Filters of addresses are the back end's business: it delivers what is for the guest, and more is allowed. */
static uint8_t obey(struct card *card, const struct vq_chain *chain) {
    uint8_t command[2], mac[MAC_BYTES];
    if (vq_chain_read(chain, 0, command, sizeof command) < sizeof command) return ACK_ERROR;
    switch (command[0]) {
    case CTRL_RX: return chain->out_bytes == 3 && command[1] <= RX_LAST ? ACK_OK : ACK_ERROR;
    case CTRL_MAC:
        if (command[1] == MAC_TABLE_SET) return chain->out_bytes >= 2 + 8 ? ACK_OK : ACK_ERROR;
        if (command[1] != MAC_ADDR_SET || vq_chain_read(chain, 2, mac, sizeof mac) < sizeof mac)
            return ACK_ERROR;
        memcpy(card->mac, mac, sizeof mac);
        return ACK_OK;
    case CTRL_OFFLOADS: return command[1] == OFFLOADS_SET ? set_offloads(card, chain) : ACK_ERROR;
    default: return ACK_ERROR;
    }
}

static void control(struct card *card) {
    struct vq *q = virtio_queue(card->vdev, CONTROL);
    int n = 0;
    for (; n < CHAINS_A_TURN && vq_pop(q, &card->chain) == VQ_CHAIN; n++) {
        uint8_t ack = obey(card, &card->chain);
        vq_push(q, &card->chain, (uint32_t)vq_chain_write(&card->chain, 0, &ack, sizeof ack));
    }
    vq_interrupt(q);
    if (n == CHAINS_A_TURN) go_on_later(card);
}

static void resume(void *context) {
    struct card *card = context;
    card->posted = false;
    if (card->vdev) control(card);
    if (card->vdev) transmit(card);
}

/* ---- the device ---- */

static uint64_t card_features(void *dev) {
    const struct card *card = dev;
    uint64_t features = BIT(F_MAC) | BIT(F_MRG_RXBUF) | BIT(F_STATUS) | BIT(F_CTRL_VQ) | BIT(F_CTRL_RX) |
                        BIT(F_CTRL_MAC_ADDR) | BIT(F_CTRL_GUEST_OFFLOADS);
    uint32_t offloads = vnet_offloads(card->net);
    for (size_t i = 0; i < N_OFFLOADS; i++)
        if (offloads & offload_bits[i].offload) features |= BIT(offload_bits[i].bit);
    return features;
}

static void card_config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    const struct card *card = dev;
    uint8_t config[MAC_BYTES + 2] = {[MAC_BYTES] = LINK_UP};
    memcpy(config, card->mac, MAC_BYTES);
    memcpy(data, config + offset, n);
}

static void card_start(void *dev, struct virtio_device *vdev, uint64_t features) {
    struct card *card = dev;
    card->vdev = vdev;
    card->features = features;
    card->offloads = offloads_of(features) & vnet_offloads(card->net);
    vnet_set_offloads(card->net, card->offloads);
    vnet_receive_ready(card->net);
}

static void card_notify(void *dev, unsigned queue) {
    struct card *card = dev;
    if (!card->vdev) return;
    if (queue == RX) vnet_receive_ready(card->net);
    if (queue == TX) transmit(card);
    if (queue == CONTROL) control(card);
}

static void card_reset(void *dev) {
    struct card *card = dev;
    card->vdev = NULL;
    card->features = 0;
    card->offloads = 0;
    vm_loop_forget(card->loop, card);
    card->posted = false;
    vnet_set_offloads(card->net, 0);
    vnet_receive_ready(card->net); /* what waited for the old driver is swallowed */
}

static void card_free(void *dev) {
    struct card *card = dev;
    vm_loop_forget(card->loop, card);
    vnet_close(card->net);
    atoll_free(card->alloc, card, sizeof *card);
}

static const struct virtio_ops card_ops = {.name = "virtio-net",
                                           .id = VIRTIO_NET,
                                           .n_queues = N_QUEUES,
                                           .queue_size_max = QUEUE_SIZE,
                                           .config_bytes = MAC_BYTES + 2,
                                           .features = card_features,
                                           .config_read = card_config_read,
                                           .start = card_start,
                                           .notify = card_notify,
                                           .reset = card_reset,
                                           .free = card_free};

/* A unicast address that nobody sells. */
static bool choose_mac(struct card *card, const uint8_t *mac) {
    if (mac) return memcpy(card->mac, mac, MAC_BYTES), true;
    if (getrandom(card->mac, MAC_BYTES, 0) != MAC_BYTES) return false;
    card->mac[0] = (uint8_t)((card->mac[0] & 0xFC) | 2);
    return true;
}

enum atoll_status virtio_net_new(const struct virtio_net_config *config, const struct virtio_ops **out_ops,
                                 void **out_dev, struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct card *card = atoll_new(alloc, 1, sizeof *card);
    if (!card) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    card->alloc = alloc;
    card->loop = config->loop;
    struct vnet_config net = {.alloc = alloc,
                              .loop = config->loop,
                              .sandbox = config->sandbox,
                              .spec = config->spec,
                              .receive = receive,
                              .received = received,
                              .writable = writable,
                              .context = card};
    enum atoll_status (*make)(const struct vnet_config *, struct vnet **, struct atoll_error *) =
        config->open ? config->open : vnet_open;
    enum atoll_status status = ATOLL_OK;
    if (!choose_mac(card, config->mac))
        status = atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "no random bytes for an address");
    if (!status) status = make(&net, &card->net, err);
    if (status) {
        atoll_free(alloc, card, sizeof *card);
        return status;
    }
    *out_ops = &card_ops;
    *out_dev = card;
    return ATOLL_OK;
}
