/* tests/sysvm/fs/talk.h: a guest that speaks FUSE by hand, with the directory of tests/sandbox/fixture.h.
 *
 *   struct talk t; talk_init(&t, false);
 *   uint64_t file = look_up(&t, FUSE_ROOT_ID, "file"), handle = open_node(&t, file, O_RDONLY);
 *   say(&t, FUSE_READ, file, &in, sizeof in, NULL);       0 or the errno; t.answer, t.n: what follows the header */
#ifndef ATOLL_TESTS_FUSE_TALK_H
#define ATOLL_TESTS_FUSE_TALK_H

#include <linux/fuse.h>
#include "sysvm/dev/virtio/fs/fuse.h"
#include "tests/sandbox/fixture.h"

#define TALK_ROOM (1 << 20)

struct talk {
    struct fixture *f;
    struct fuse_session *session;
    struct fuse_scratch *scratch;
    uint32_t uid, gid; /* of who asks */
    size_t room;       /* for the answer, its header not counted */
    uint64_t unique;
    uint8_t *answer; /* behind its header */
    size_t n;
    bool answered;
};

/* Puts the message into two pieces and takes the answer in three, so that no structure is in one. */
static inline int say_bytes(struct talk *t, const void *message, size_t size) {
    struct fuse_out_header header;
    static uint8_t whole[TALK_ROOM + 64];
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, message, size);
    size_t half = size / 2, in = sizeof header + t->room;
    struct iovec out[2] = {{copy, half}, {copy + half, size - half}};
    struct iovec into[3] = {{whole, 7}, {whole + 7, 30}, {whole + 37, in > 37 ? in - 37 : 0}};
    if (in < 37) into[1].iov_len = in - 7;
    memset(whole, 0xEE, in + 32); /* what lies behind the room is looked at, too */
    size_t n = fuse_serve(t->session, t->scratch, out, 2, into, 3);
    free(copy);
    t->answered = n > 0;
    t->n = 0;
    if (!n) return 0;
    memcpy(&header, whole, sizeof header);
    assert_true(n >= sizeof header && n <= in);
    assert_int_equal(header.len, n);
    assert_true(header.error <= 0 && header.error > -512);
    assert_true(header.error == 0 || n == sizeof header);
    t->n = n - sizeof header;
    memcpy(t->answer, whole + sizeof header, t->n);
    for (size_t i = in; i < in + 32; i++) assert_int_equal(whole[i], 0xEE);
    return -header.error;
}

/* header, args, then name (with its NUL) unless NULL, then data */
static inline int say_all(struct talk *t, uint32_t opcode, uint64_t node, const void *args, size_t n_args,
                          const char *name, const void *data, size_t n_data) {
    size_t n_name = name ? strlen(name) + 1 : 0,
           size = sizeof(struct fuse_in_header) + n_args + n_name + n_data;
    uint8_t *message = malloc(size);
    struct fuse_in_header header = {.len = (uint32_t)size,
                                    .opcode = opcode,
                                    .unique = ++t->unique,
                                    .nodeid = node,
                                    .uid = t->uid,
                                    .gid = t->gid};
    memcpy(message, &header, sizeof header);
    if (n_args) memcpy(message + sizeof header, args, n_args);
    if (n_name) memcpy(message + sizeof header + n_args, name, n_name);
    if (n_data) memcpy(message + sizeof header + n_args + n_name, data, n_data);
    int error = say_bytes(t, message, size);
    free(message);
    return error;
}

static inline int say(struct talk *t, uint32_t opcode, uint64_t node, const void *args, size_t n_args,
                      const char *name) {
    return say_all(t, opcode, node, args, n_args, name, NULL, 0);
}

static inline void talk_start(struct talk *t) {
    struct fuse_init_in in = {.major = 7, .minor = 38, .max_readahead = 131072, .flags = UINT32_MAX};
    assert_int_equal(say(t, FUSE_INIT, 0, &in, sizeof in, NULL), 0);
    assert_int_equal(t->n, sizeof(struct fuse_init_out));
}

static inline void talk_init_config(struct talk *t, struct sb_config sandbox, struct fuse_config config,
                                    bool readonly) {
    *t = (struct talk){.f = fixture_new(sandbox), .room = TALK_ROOM};
    config.root = readonly ? t->f->readonly : t->f->dir;
    t->answer = malloc(TALK_ROOM);
    assert_int_equal(fuse_session_new(&config, &t->session, NULL), ATOLL_OK);
    t->scratch = fuse_scratch_new(NULL);
    assert_non_null(t->scratch);
    talk_start(t);
}

static inline void talk_init(struct talk *t, bool readonly) {
    struct fuse_config config = {.map_owner = true, .uid = getuid(), .gid = getgid()};
    talk_init_config(t, (struct sb_config){0}, config, readonly);
}

static inline void talk_fini(struct talk *t) {
    fuse_session_free(t->session);
    fuse_scratch_free(NULL, t->scratch);
    fixture_free(t->f);
    free(t->answer);
}

static inline struct fuse_entry_out entry_of(const struct talk *t) {
    struct fuse_entry_out out;
    assert_true(t->n >= sizeof out);
    memcpy(&out, t->answer, sizeof out);
    return out;
}

static inline uint64_t look_up(struct talk *t, uint64_t dir, const char *name) {
    assert_int_equal(say(t, FUSE_LOOKUP, dir, NULL, 0, name), 0);
    assert_true(entry_of(t).nodeid != 0);
    return entry_of(t).nodeid;
}

static inline bool has_name(struct talk *t, uint64_t dir, const char *name) {
    assert_int_equal(say(t, FUSE_LOOKUP, dir, NULL, 0, name), 0);
    return entry_of(t).nodeid != 0;
}

static inline uint64_t open_with(struct talk *t, uint32_t opcode, uint64_t node, uint32_t flags) {
    struct fuse_open_in in = {.flags = flags};
    struct fuse_open_out out;
    assert_int_equal(say(t, opcode, node, &in, sizeof in, NULL), 0);
    assert_int_equal(t->n, sizeof out);
    memcpy(&out, t->answer, sizeof out);
    return out.fh;
}

static inline int try_open_with(struct talk *t, uint64_t node, uint32_t flags) {
    struct fuse_open_in in = {.flags = flags};
    return say(t, FUSE_OPEN, node, &in, sizeof in, NULL);
}

static inline int try_read(struct talk *t, uint64_t node, uint64_t handle, uint64_t offset, uint32_t size) {
    struct fuse_read_in in = {.fh = handle, .offset = offset, .size = size};
    return say(t, FUSE_READ, node, &in, sizeof in, NULL);
}

static inline int try_write(struct talk *t, uint64_t node, uint64_t handle, uint64_t offset,
                            const char *text) {
    struct fuse_write_in in = {.fh = handle, .offset = offset, .size = (uint32_t)strlen(text)};
    return say_all(t, FUSE_WRITE, node, &in, sizeof in, NULL, text, strlen(text));
}

static inline void forget(struct talk *t, uint64_t node, uint64_t n) {
    struct fuse_forget_in in = {.nlookup = n};
    say(t, FUSE_FORGET, node, &in, sizeof in, NULL);
    assert_false(t->answered);
}

static inline int release(struct talk *t, uint64_t node, uint64_t handle) {
    struct fuse_release_in in = {.fh = handle};
    return say(t, FUSE_RELEASE, node, &in, sizeof in, NULL);
}

static inline struct fuse_attr attr_of(struct talk *t, uint64_t node) {
    struct fuse_getattr_in in = {0};
    struct fuse_attr_out out;
    assert_int_equal(say(t, FUSE_GETATTR, node, &in, sizeof in, NULL), 0);
    assert_int_equal(t->n, sizeof out);
    memcpy(&out, t->answer, sizeof out);
    return out.attr;
}

#endif
