/* tests/sysvm/guest/guest_command_test.c: the host's end of a command's channel, with an init that is played here:
 * streams that take their time, signals before anything runs, and guests that send nonsense. */
#include <stdio.h>
#include <stdlib.h>
#include "sysvm/guest/command.h"
#include "sysvm/guest/protocol.h"
#include "tests/sysvm/suite.h"

struct world {
    struct guest_command *command;
    /* what came out */
    uint8_t out[2][200000];
    size_t n_out[2], room[2]; /* room: how much more the streams take */
    unsigned closed;
    int status, failed_status; /* -1: not told */
    char failed_text[512];
    /* what went to the guest */
    uint8_t sent[200000];
    size_t n_sent, port_room;
    unsigned n_wanted; /* input_wanted */
};
static struct world *w;

static size_t out_write(void *end, const uint8_t *bytes, size_t n) {
    size_t which = end == &w->out[1];
    if (n > w->room[which]) n = w->room[which];
    memcpy(w->out[which] + w->n_out[which], bytes, n);
    w->n_out[which] += n;
    w->room[which] -= n;
    return n;
}
static void nothing(void *end) { (void)end; }
static const struct vm_stream_ops out_ops = {out_write, nothing, NULL};

static void input_wanted(void *end) {
    (void)end;
    w->n_wanted++;
}
static const struct vm_stream_ops in_ops = {NULL, input_wanted, NULL};

static size_t port_receive(void *device, const uint8_t *bytes, size_t n) {
    (void)device;
    if (n > w->port_room) n = w->port_room;
    memcpy(w->sent + w->n_sent, bytes, n);
    w->n_sent += n;
    w->port_room -= n;
    return n;
}
static const struct vm_stream_device_ops port_ops = {port_receive, nothing, NULL};

static bool is_closed(void *context, unsigned which) {
    (void)context;
    return w->closed >> which & 1;
}
static void on_end(void *context, int status) {
    (void)context;
    assert_int_equal(w->status, -1);
    assert_int_equal(w->failed_status, -1);
    w->status = status;
}
static void on_failure(void *context, int status, const char *text) {
    (void)context;
    assert_int_equal(w->status, -1);
    assert_int_equal(w->failed_status, -1);
    w->failed_status = status;
    snprintf(w->failed_text, sizeof w->failed_text, "%s", text);
}

static int set_up(void **state) {
    w = calloc(1, sizeof *w);
    *w = (struct world){
        .room = {SIZE_MAX, SIZE_MAX}, .port_room = SIZE_MAX, .status = -1, .failed_status = -1};
    struct guest_command_config config = {.alloc = &atoll_default_alloc,
                                          .outputs = {{&out_ops, &w->out[0]}, {&out_ops, &w->out[1]}},
                                          .is_closed = is_closed,
                                          .ended = on_end,
                                          .failed = on_failure};
    assert_int_equal(guest_command_new(&config, &w->command, NULL), ATOLL_OK);
    guest_command_join(w->command, (struct vm_stream_device){&port_ops, NULL});
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    guest_command_free(w->command);
    free(w);
    return 0;
}

/* ---- playing init ---- */

static void guest_writes(const void *bytes, size_t n) {
    struct vm_stream_end end = guest_command_port_end(w->command);
    assert_int_equal(end.ops->write(end.end, bytes, n), n);
}

static void guest_says(int kind, const void *bytes, size_t n) {
    uint8_t message[GUEST_HEADER_BYTES + GUEST_PAYLOAD_MAX] = {(uint8_t)kind, 0, (uint8_t)n,
                                                               (uint8_t)(n >> 8)};
    if (n) memcpy(message + GUEST_HEADER_BYTES, bytes, n);
    guest_writes(message, GUEST_HEADER_BYTES + n);
}

static struct vm_stream_device input(void) {
    return guest_command_input(w->command, (struct vm_stream_end){&in_ops, NULL});
}

/* Bytes of all messages of a kind that went to the guest so far; their number in *out_count. */
static size_t told(int kind, uint8_t *out, unsigned *out_count) {
    size_t n = 0;
    *out_count = 0;
    for (size_t at = 0; at + GUEST_HEADER_BYTES <= w->n_sent;) {
        size_t size = (size_t)(w->sent[at + 2] | w->sent[at + 3] << 8);
        if (w->sent[at] == kind) {
            if (out) memcpy(out + n, w->sent + at + GUEST_HEADER_BYTES, size);
            n += size;
            ++*out_count;
        }
        at += GUEST_HEADER_BYTES + size;
    }
    return n;
}

/* ---- tests ---- */

static void streams_and_status_come_through(void **state) {
    (void)state;
    uint8_t status = 42, got[64];
    unsigned count;
    guest_says(GUEST_READY, NULL, 0);
    guest_says(GUEST_OUTPUT, "hello", 5);
    guest_says(GUEST_ERRORS, "oops", 4);
    struct vm_stream_device in = input();
    assert_int_equal(in.ops->receive(in.device, (const uint8_t *)"typed", 5), 5);
    guest_command_end_input(w->command);
    assert_int_equal(told(GUEST_INPUT, got, &count), 5);
    assert_memory_equal(got, "typed", 5);
    assert_int_equal(count, 2); /* the second is the end */
    guest_says(GUEST_EXIT, &status, 1);
    assert_int_equal(w->status, 42);
    assert_int_equal(w->n_out[0], 5);
    assert_memory_equal(w->out[0], "hello", 5);
    assert_memory_equal(w->out[1], "oops", 4);
}

static void messages_may_come_byte_by_byte(void **state) {
    (void)state;
    static const uint8_t bytes[] = {'R', 0, 0, 0, '1', 0, 3, 0, 'a', 'b', 'c', 'X', 0, 1, 0, 7};
    for (size_t i = 0; i < sizeof bytes; i++) guest_writes(bytes + i, 1);
    assert_int_equal(w->n_out[0], 3);
    assert_int_equal(w->status, 7);
}

static void output_that_waits_costs_credit_and_holds_the_end(void **state) {
    (void)state;
    static uint8_t piece[4096];
    uint8_t status = 0, credit[64];
    unsigned count;
    guest_says(GUEST_READY, NULL, 0);
    w->room[0] = 1000;
    for (unsigned i = 0; i < GUEST_OUTPUT_WINDOW / sizeof piece; i++) {
        memset(piece, (int)i, sizeof piece);
        guest_says(GUEST_OUTPUT, piece, sizeof piece);
    }
    assert_int_equal(w->n_out[0], 1000);
    guest_says(GUEST_EXIT, &status, 1);
    assert_int_equal(w->status, -1); /* not before all is out */
    w->room[0] = SIZE_MAX;
    struct vm_stream_device in = input();
    in.ops->writable(in.device);
    assert_int_equal(w->status, 0);
    assert_int_equal(w->n_out[0], GUEST_OUTPUT_WINDOW);
    for (size_t i = 0; i < GUEST_OUTPUT_WINDOW; i++) assert_int_equal(w->out[0][i], i / sizeof piece);
    assert_int_equal(told(GUEST_CREDIT, credit, &count), 4);
    assert_int_equal(credit[0] | credit[1] << 8, 1000);
}

static void a_guest_that_sends_more_than_it_may_has_failed(void **state) {
    (void)state;
    static uint8_t piece[4096];
    guest_says(GUEST_READY, NULL, 0);
    w->room[0] = 0;
    for (unsigned i = 0; i < 100 && w->failed_status < 0; i++) guest_says(GUEST_OUTPUT, piece, sizeof piece);
    assert_int_equal(w->failed_status, 125);
    assert_int_equal(w->n_out[0], 0);
    guest_says(GUEST_OUTPUT, piece, sizeof piece); /* nothing more counts */
    guest_says(GUEST_EXIT, piece, 1);
    assert_int_equal(w->status, -1);
}

static void nonsense_is_a_failure(void **state) {
    static const struct {
        uint8_t bytes[8];
        size_t n;
    } cases[] = {{{'?', 0, 0, 0}, 4}, {{'1', 0, 0xFF, 0xFF}, 5}, /* longer than a message may be */
                 {{'X', 0, 0, 0}, 4}, {{'X', 0, 2, 0, 1, 2}, 6}, {{'F', 0, 0, 0}, 4}, {{'c', 0, 1, 0, 1}, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i) set_up(state);
        guest_writes(cases[i].bytes, cases[i].n);
        assert_int_equal(w->failed_status, 125);
        if (i + 1 < sizeof cases / sizeof *cases) tear_down(state);
    }
}

static void a_failure_is_told_with_its_text(void **state) {
    (void)state;
    guest_says(GUEST_FAILED, "\x7Fnowhere: No such file", 22);
    assert_int_equal(w->failed_status, 127);
    assert_string_equal(w->failed_text, "nowhere: No such file");
}

static void input_waits_for_the_command_and_for_room(void **state) {
    (void)state;
    static uint8_t bytes[GUEST_INPUT_WINDOW + 100];
    unsigned count;
    struct vm_stream_device in = input();
    assert_int_equal(in.ops->receive(in.device, bytes, 5), 0);
    guest_says(GUEST_READY, NULL, 0);
    assert_int_equal(w->n_wanted, 1);
    size_t taken = 0;
    for (size_t n = 1; n; taken += n) n = in.ops->receive(in.device, bytes, sizeof bytes - taken);
    assert_int_equal(taken, GUEST_INPUT_WINDOW);
    assert_int_equal(told(GUEST_INPUT, NULL, &count), GUEST_INPUT_WINDOW);
    guest_says(GUEST_CREDIT, "\x0A\0\0\0", 4);
    assert_int_equal(w->n_wanted, 2);
    assert_int_equal(in.ops->receive(in.device, bytes, 100), 10);
    guest_says(GUEST_CREDIT, "\xFF\xFF\xFF\xFF", 4); /* never more than the window */
    taken = 0;
    for (size_t n = 1; n; taken += n) n = in.ops->receive(in.device, bytes, sizeof bytes - taken);
    assert_int_equal(taken, GUEST_INPUT_WINDOW);
}

static void a_port_without_room_gets_the_rest_later(void **state) {
    (void)state;
    uint8_t got[200];
    unsigned count;
    guest_says(GUEST_READY, NULL, 0);
    w->port_room = 6;
    struct vm_stream_device in = input();
    assert_int_equal(in.ops->receive(in.device, (const uint8_t *)"0123456789", 10), 10);
    for (int i = 0; i < 1000; i++) guest_command_signal(w->command, 15); /* the same, however often */
    guest_command_signal(w->command, 0);
    guest_command_signal(w->command, 32);
    guest_command_signal(w->command, -1);
    assert_int_equal(w->n_sent, 6);
    w->port_room = SIZE_MAX;
    struct vm_stream_end port = guest_command_port_end(w->command);
    port.ops->input_wanted(port.end);
    assert_int_equal(told(GUEST_INPUT, got, &count), 10);
    assert_memory_equal(got, "0123456789", 10);
    told(GUEST_SIGNAL, got, &count);
    assert_int_equal(count, 1);
    assert_int_equal(got[0], 15);
}

static void what_nobody_reads_is_told_once(void **state) {
    (void)state;
    uint8_t got[8];
    unsigned count;
    guest_says(GUEST_READY, NULL, 0);
    w->closed = 1;
    guest_says(GUEST_OUTPUT, "x", 1);
    guest_says(GUEST_OUTPUT, "y", 1);
    assert_int_equal(told(GUEST_CLOSED, got, &count), 1);
    assert_int_equal(got[0], 1);
}

static void a_window_is_told_when_there_is_a_command(void **state) {
    (void)state;
    uint8_t got[8];
    unsigned count;
    guest_command_window(w->command, 300, 50);
    assert_int_equal(w->n_sent, 0);
    guest_says(GUEST_READY, NULL, 0);
    assert_int_equal(told(GUEST_WINDOW, got, &count), 4);
    assert_memory_equal(got, "\x2C\x01\x32\0", 4);
    assert_true(guest_command_runs(w->command));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(streams_and_status_come_through),
                                       T(messages_may_come_byte_by_byte),
                                       T(output_that_waits_costs_credit_and_holds_the_end),
                                       T(a_guest_that_sends_more_than_it_may_has_failed),
                                       T(nonsense_is_a_failure),
                                       T(a_failure_is_told_with_its_text),
                                       T(input_waits_for_the_command_and_for_room),
                                       T(a_port_without_room_gets_the_rest_later),
                                       T(what_nobody_reads_is_told_once),
                                       T(a_window_is_told_when_there_is_a_command)};
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
