/* tests/fuzz/fuzz_console_script.c: a script up to the first zero byte, then what a guest writes, in pieces that the
 * bytes 0 to 31 cut: the script ends at most once, sends what it was told, and never waits without a time. */
#include "tests/fuzz/fuzz.h"
#include "sysvm/script/script.h"

struct console {
    uint64_t n_sent;
    unsigned n_done;
};

static size_t take(void *context, const uint8_t *bytes, size_t n) {
    struct console *c = context;
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum ^= bytes[i]; /* all of it is memory */
    c->n_sent += n;
    return n - (n > 1 && sum & 1);
}
static void act(void *context, enum vm_script_act act) { (void)context, (void)act; }
static bool save(void *context, size_t i, const uint8_t *bytes, size_t n) {
    (void)context, (void)i;
    FUZZ_CHECK(n <= VM_SCRIPT_COPY_MAX && (!n || bytes));
    return true;
}
static void done(void *context, const struct atoll_error *err) {
    FUZZ_CHECK(!((struct console *)context)->n_done++);
    if (err) FUZZ_CHECK(err->line && err->text[0]);
}
static bool seconds(const char *text, uint64_t *out_ns) {
    *out_ns = strtoul(text, NULL, 10) % 1000 * UINT64_C(1000000000);
    return *out_ns > 0;
}

static void play(struct vm_script *script, const uint8_t *data, size_t size) {
    struct console c = {0};
    struct vm_script_host host = {take, act, save, done, &c, "\r"};
    uint64_t now = 1;
    vm_script_begin(script, &host, now);
    for (size_t at = 0; at < size;) {
        size_t n = 1;
        while (at + n < size && data[at + n] >= 32) n++;
        vm_script_output(script, data + at, n, now);
        if (data[at] & 1) vm_script_room(script, now);
        if (data[at] == 2) vm_script_tick(script, now = vm_script_deadline(script));
        if (data[at] == 4) vm_script_reset(script);
        if (data[at] == 6) vm_script_guest_gone(script, true, "left");
        at += n;
        FUZZ_CHECK(vm_script_is_over(script) == (c.n_done == 1));
    }
    vm_script_guest_gone(script, false, "left");
    FUZZ_CHECK(c.n_done == 1 && vm_script_deadline(script) == UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct vm_script_text text = {(const char *)data, n, 1};
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct vm_script *script;
    enum atoll_status status = vm_script_parse(&atoll_default_alloc, &text, seconds, &script, &err);
    if (status != ATOLL_OK) {
        fuzz_check_error(&err, status, size);
        return 0;
    }
    play(script, data + n, size - n);
    vm_script_free(script);
    return 0;
}
