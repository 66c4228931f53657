/* tests/fuzz/fuzz_fuse.c: a guest's messages to the file server, for a directory with planted links.
 *
 *   input     messages, each: u16 size of what follows, u16 room for the answer, bytes behind a fuse_in_header that
 *             is made here from the first five of them: opcode, node (an index into what was told so far), flags
 *
 * Node and file numbers in a message's first eight bytes of arguments are replaced by ones that the server has given,
 * when the flags say so; else a fuzzer would hardly find any. Nothing outside the grant may be told of or change. */
#include <linux/fuse.h>
#include <unistd.h>
#include "sysvm/dev/virtio/fs/fuse.h"
#include "tests/fuzz/planted.h"

#define MAX_MESSAGES 64
#define MAX_NUMBERS  32

static struct sandbox *sandbox;
static struct fuse_scratch *scratch;

static const char *const links[][2] = {{"../secret", "in/up"},
                                       {"../outside", "in/out"},
                                       {"/etc/passwd", "in/absolute"},
                                       {"..", "in/sub/parent"}};

static void start(void) {
    struct sb_config config = {.max_fds = 40, .max_output_bytes = UINT64_C(1) << 40};
    if (!planted_make()) return;
    FUZZ_CHECK(!sb_new(&config, &sandbox, NULL) &&
               !sb_grant_dir(sandbox, planted_at("in"), "/in", false, NULL));
    FUZZ_CHECK((scratch = fuse_scratch_new(NULL)));
}

/* ---- messages ---- */

struct guest {
    struct fuse_session *session;
    uint64_t numbers[MAX_NUMBERS]; /* told by the server */
    unsigned n_numbers;
};

static void remember(struct guest *g, uint64_t number) { g->numbers[g->n_numbers++ % MAX_NUMBERS] = number; }

static void look_at_answer(struct guest *g, uint32_t opcode, const uint8_t *answer, size_t n, size_t room) {
    struct fuse_out_header header;
    struct fuse_entry_out entry;
    uint64_t number;
    FUZZ_CHECK(n <= room);
    if (!n) return;
    FUZZ_CHECK(n >= sizeof header);
    memcpy(&header, answer, sizeof header);
    FUZZ_CHECK(header.len == n && header.error <= 0 && header.error > -512 &&
               (!header.error || n == sizeof header));
    if (header.error || n < sizeof header + 8) return;
    memcpy(&number, answer + sizeof header, sizeof number);
    if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR) remember(g, number);
    if (n < sizeof header + sizeof entry || opcode == FUSE_READ || opcode == FUSE_READLINK ||
        opcode == FUSE_GETXATTR || opcode == FUSE_LISTXATTR || opcode == FUSE_READDIR)
        return;
    memcpy(&entry, answer + sizeof header, sizeof entry);
    if (opcode == FUSE_GETATTR || opcode == FUSE_SETATTR || opcode == FUSE_STATFS || !entry.nodeid) return;
    planted_check_inside(entry.attr.ino);
    remember(g, number);
    if (opcode == FUSE_CREATE) {
        memcpy(&number, answer + sizeof header + sizeof entry, sizeof number);
        remember(g, number);
    }
}

static void send_message(struct guest *g, const uint8_t *bytes, size_t size, size_t room) {
    if (size < 5) return;
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof header + size - 5), .opcode = bytes[0], .unique = 1};
    header.nodeid = bytes[1] ? g->numbers[bytes[1] % MAX_NUMBERS] : FUSE_ROOT_ID;
    size_t total = sizeof header + size - 5;
    uint8_t *message = malloc(total), *answer = malloc(room + 1);
    FUZZ_CHECK(message && answer);
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, bytes + 5, size - 5);
    if ((bytes[2] & 1) && size - 5 >= 8)
        memcpy(message + sizeof header, &g->numbers[bytes[3] % MAX_NUMBERS], sizeof(uint64_t));
    /* The pieces lie as the input says. */
    size_t cut = total ? bytes[4] % total : 0, in_cut = room ? bytes[4] % room : 0;
    struct iovec out[2] = {{message, cut}, {message + cut, total - cut}};
    struct iovec in[2] = {{answer, in_cut}, {answer + in_cut, room - in_cut}};
    size_t n = fuse_serve(g->session, scratch, out, 2, in, 2);
    look_at_answer(g, header.opcode, answer, n, room);
    free(message);
    free(answer);
}

/* Reserving a terabyte of the host's memory (the directory is in it) tells nothing. */
static bool is_too_much(const uint8_t *bytes, size_t size) {
    return size > 5 &&
           (bytes[0] == FUSE_FALLOCATE || bytes[0] == FUSE_COPY_FILE_RANGE || bytes[0] == FUSE_SYNCFS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    start();
    struct fuse_config config = {.root = sb_grant_at(sandbox, 0)->file,
                                 .max_nodes = 12,
                                 .max_handles = 12,
                                 .map_owner = true,
                                 .uid = getuid(),
                                 .gid = getgid()};
    struct guest g = {0};
    static const uint8_t init[5 + 16] = {FUSE_INIT, 0, 0, 0, 0, 7, 0, 0, 0, 31, 0, 0, 0};
    planted_renew(links, sizeof links / sizeof *links);
    FUZZ_CHECK(!fuse_session_new(&config, &g.session, NULL));
    send_message(&g, init, sizeof init, 80);
    for (size_t from = 0, n = 0; from + 4 <= size && n < MAX_MESSAGES; n++) {
        size_t length = (size_t)(data[from] | data[from + 1] << 8),
               room = (size_t)(data[from + 2] | data[from + 3] << 8);
        from += 4;
        if (length > size - from) length = size - from;
        if (!is_too_much(data + from, length)) send_message(&g, data + from, length, room);
        from += length;
    }
    FUZZ_CHECK(fuse_session_nodes(g.session) <= 12 && fuse_session_handles(g.session) <= 12);
    fuse_session_free(g.session);
    planted_check_outside();
    return 0;
}
