/* tests/stdlib/hostile_test.c: every function of WASI, in both modules, with arguments no honest program has:
 * pointers out of range, at the last byte, unaligned and overlapping, lengths that wrap 32 bits, descriptors
 * that are not open. Whatever is asked, the answer is an errno: no trap, no crash, no wait, no allocation of
 * the guest's size. The table is walked, so a row without this test cannot be. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#include <cmocka.h>
#include "interp/interp.h"
#include "stdlib/stdlib.h"

#define PAGE 65536u

struct guest {
    int null_fd;
    struct rt_engine *engine;
    struct rt_store *store;
    struct sandbox *sandbox;
    struct wasi *wasi;
    struct rt_instance *instance;
    struct sigaction segv, bus;
};

/* The open guest's folder; that of a test that failed stays until the next one or the end. */
static char folder[64];

static int remove_folder(void **state) {
    char command[100];
    (void)state;
    if (!folder[0]) return 0;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    folder[0] = 0;
    return system(command);
}

static void open_guest(struct guest *g, const char *text) {
    struct rt_config config = {.tier = &interp_tier};
    struct sb_config limits = {.max_fds = 64, .max_output_bytes = 1 << 20};
    struct atoll_error err = {0};
    char grant[100];
    remove_folder(NULL);
    snprintf(folder, sizeof folder, "/tmp/atoll-hostile-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(grant, sizeof grant, "%s::/", folder);
    /* cmocka puts its own handlers in for each test, in front of the runtime's */
    assert_int_equal(rt_engine_new(&config, &g->engine, &err), ATOLL_OK);
    assert_int_equal(rt_store_new(g->engine, NULL, &g->store, &err), ATOLL_OK);
    assert_int_equal(sb_new(&limits, &g->sandbox, &err), ATOLL_OK);
    assert_int_equal(sb_grant_dir_text(g->sandbox, grant, &err), ATOLL_OK);
    g->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct wasi_config wasi = {.argv = (const char *[]){"hostile", "argument"},
                               .n_argv = 2,
                               .env = (const char *[]){"A=1"},
                               .n_env = 1,
                               .stdio = {g->null_fd, g->null_fd, g->null_fd}};
    assert_int_equal(wasi_new(g->store, g->sandbox, &wasi, &g->wasi, &err), ATOLL_OK);
    struct rt_module *module;
    if (rt_module_load(g->engine, (const uint8_t *)text, strlen(text), false, "guest", &module, &err) ||
        rt_instantiate(g->store, module, wasi_resolve, g->wasi, &g->instance, &err))
        fail_msg("%s", err.text);
    rt_module_unref(module);
}

static void close_guest(struct guest *g) {
    wasi_free(g->wasi);
    rt_store_free(g->store);
    rt_engine_unref(g->engine);
    sb_free(g->sandbox);
    close(g->null_fd);
    assert_int_equal(remove_folder(NULL), 0);
}

/* (module (import MODULE NAME (func ...)) (memory 1) (func (export "call") ... call)); and path_open for a
 * file */
static void write_guest(char *out, size_t size, const char *module, const char *name, const char *signature) {
    char params[200] = "", gets[300] = "";
    unsigned n = 0;
    for (const char *c = signature; *c && *c != ':'; c++, n++) {
        strcat(params, *c == 'i' ? " i32" : " i64");
        snprintf(gets + strlen(gets), sizeof gets - strlen(gets), " (local.get %u)", n);
    }
    bool result = strchr(signature, ':') && strchr(signature, ':')[1];
    snprintf(
        out, size,
        "(module (import \"%s\" \"%s\" (func $f (param%s)%s))"
        " (import \"%s\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1 1) (data (i32.const 1024) \"file\")"
        " (func (export \"open\") (result i32) (call $open (i32.const 3) (i32.const 0) (i32.const 1024)"
        " (i32.const 4) (i32.const 1) (i64.const 68) (i64.const 0) (i32.const 0) (i32.const 2048)))"
        " (func (export \"call\") (param%s)%s (call $f%s)))",
        module, name, params, result ? " (result i32)" : "", module, params, result ? " (result i32)" : "",
        gets);
}

static uint64_t random_state = 88172645463325252u;
static uint64_t random_word(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t pick(char class) {
    static const uint32_t words[] = {0,          1,          2,          3,          4,          5,
                                     7,          1023,       1024,       2047,       2048,       PAGE - 8,
                                     PAGE - 4,   PAGE - 3,   PAGE - 1,   PAGE,       PAGE + 1,   0x7FFFFFFF,
                                     1u << 31,   0xFFFF0000, 0xFFFFFFF0, 0xFFFFFFF8, 0xFFFFFFFC, 0xFFFFFFFE,
                                     0xFFFFFFFF, 64,         1000000};
    static const uint64_t longs[] = {0, 1, 4096, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX >> 1};
    uint64_t r = random_word() >> 20;
    return class == 'i' ? words[r % (sizeof words / sizeof *words)]
                        : longs[r % (sizeof longs / sizeof *longs)];
}

/* What the guest's memory holds when it asks: nothing, all ones, small numbers, its own addresses. */
static void paint(struct guest *g, unsigned how) {
    struct rt_memory *memory = g->instance->memories[0];
    uint32_t *words = (uint32_t *)(void *)memory->base;
    for (unsigned i = 0; i < PAGE / 4; i++)
        words[i] = how == 0 ? 0 : how == 1 ? UINT32_MAX : how == 2 ? i % 5 : (uint32_t)pick('i');
    memcpy(memory->base + 1024, "file", 4);
}

/* poll_oneoff may be asked to wait for years: then it is interrupted. */
static struct rt_store *waiting;
static void interrupt(int number) {
    (void)number;
    if (waiting) rt_store_interrupt(waiting, RT_INTERRUPT_CANCEL);
}

static void interrupt_every_millisecond(struct rt_store *store) {
    struct itimerval timer = {{0, store ? 1000 : 0}, {0, store ? 1000 : 0}};
    waiting = store;
    signal(SIGALRM, interrupt);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void call_often(struct guest *g, const char *name, const char *signature, unsigned times) {
    bool waits = !strcmp(name, "poll_oneoff");
    interrupt_every_millisecond(waits ? g->store : NULL);
    struct rt_extern call, open_file;
    assert_true(rt_instance_export(g->instance, "call", 4, &call));
    assert_true(rt_instance_export(g->instance, "open", 4, &open_file));
    for (unsigned k = 0; k < times; k++) {
        union rt_slot slots[16] = {{0}};
        struct atoll_error err = {0};
        unsigned n = 0;
        if (k % 100 == 0) {
            rt_call(g->store, open_file.func, slots, &err); /* descriptor 4, unless it was closed or moved */
            paint(g, k / 100 % 4);
        }
        for (const char *c = signature; *c && *c != ':'; c++, n++) slots[n].u64 = pick(*c);
        /* half of the time the descriptor, first almost everywhere, is one that is open */
        if (k & 1) slots[0].u64 = random_word() >> 30 & 7;
        enum atoll_status status = rt_call(g->store, call.func, slots, &err);
        bool ended = status == ATOLL_E_EXIT || (waits && status == ATOLL_E_INTERRUPTED);
        if (status && !ended) fail_msg("%s: %s", name, err.text);
        if (!status && strchr(signature, ':')[1]) assert_true(slots[0].u32 < 80); /* an errno */
    }
    interrupt_every_millisecond(NULL);
}

/* One argument after the other lies at the end of memory or behind it, while the others are ones that work. */
static void walk_arguments(struct guest *g, const char *name, const char *signature) {
    static const uint32_t edges[] = {PAGE - 7, PAGE - 3,   PAGE - 1,   PAGE,      PAGE + 1,
                                     1u << 31, 0xFFFF0000, 0xFFFFFFF9, UINT32_MAX};
    struct rt_extern call, open_file;
    unsigned n = (unsigned)strcspn(signature, ":");
    if (!strcmp(name, "proc_exit") || !strcmp(name, "poll_oneoff")) return; /* ends; has tests of its own */
    assert_true(rt_instance_export(g->instance, "call", 4, &call));
    assert_true(rt_instance_export(g->instance, "open", 4, &open_file));
    for (unsigned k = 0; k < n * (sizeof edges / sizeof *edges) * 4; k++) {
        union rt_slot slots[16] = {{0}};
        struct atoll_error err = {0};
        rt_call(g->store, open_file.func, slots, &err);
        paint(g, k & 1 ? 0 : 2);
        for (unsigned i = 0; i < n; i++) slots[i].u64 = i ? 1024 + 4 * i : 3 + (k >> 1 & 1);
        unsigned position = k / 4 / (sizeof edges / sizeof *edges);
        slots[position].u64 = edges[k / 4 % (sizeof edges / sizeof *edges)];
        enum atoll_status status = rt_call(g->store, call.func, slots, &err);
        if (status && status != ATOLL_E_EXIT) fail_msg("%s, argument %u: %s", name, position, err.text);
        if (!status && signature[n] && signature[n + 1]) assert_true(slots[0].u32 < 80); /* an errno */
    }
}

static void every_function_answers_hostile_arguments_with_an_errno(void **state) {
    const char *module, *name, *signature;
    struct rusage before, after;
    (void)state;
    getrusage(RUSAGE_SELF, &before);
    size_t rows = 0;
    for (; wasi_import_at(rows, &module, &name, &signature); rows++) {
        char text[2000];
        struct guest g = {0};
        if (!strcmp(module, "wasi")) continue; /* threads: threads/threads_test.sh */
        write_guest(text, sizeof text, module, name, signature);
        open_guest(&g, text);
        call_often(&g, name, signature, 2000);
        walk_arguments(&g, name, signature);
        close_guest(&g);
    }
    assert_true(rows > 80); /* two modules of more than 40 */
    getrusage(RUSAGE_SELF, &after);
    /* nothing of the sizes asked for, 2 to 4 GiB, was ever resident */
    assert_true(after.ru_maxrss - before.ru_maxrss < 512 << 10);
}

/* A list of a million subscriptions does not fit the memory; what fits is served or refused, at once. */
static void polling_with_a_million_subscriptions_is_refused(void **state) {
    struct guest g = {0};
    (void)state;
    open_guest(&g, "(module (import \"wasi_snapshot_preview1\" \"poll_oneoff\" (func $p (param i32 i32 i32 "
                   "i32) (result i32)))"
                   "(memory (export \"memory\") 1000)"
                   "(func (export \"poll\") (param i32) (result i32)"
                   " (call $p (i32.const 0) (i32.const 50000000) (local.get 0) (i32.const 64))))");
    struct rt_extern poll;
    assert_true(rt_instance_export(g.instance, "poll", 4, &poll));
    union rt_slot slot = {.u64 = 1000000};
    assert_int_equal(rt_call(g.store, poll.func, &slot, NULL), ATOLL_OK);
    assert_int_not_equal(slot.u32, 0);
    slot.u64 = 0;
    assert_int_equal(rt_call(g.store, poll.func, &slot, NULL), ATOLL_OK);
    assert_int_not_equal(slot.u32, 0); /* nothing to wait for would be forever */
    close_guest(&g);
}

/* Opening without end stops at the bound, and what was closed can be opened again. */
static void the_descriptor_table_is_bounded(void **state) {
    struct guest g = {0};
    (void)state;
    open_guest(
        &g,
        "(module (import \"wasi_snapshot_preview1\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 "
        "i64 i32 i32) (result i32)))"
        "(import \"wasi_snapshot_preview1\" \"fd_renumber\" (func $renumber (param i32 i32) (result i32)))"
        "(import \"wasi_snapshot_preview1\" \"fd_close\" (func $close (param i32) (result i32)))"
        "(memory (export \"memory\") 1) (data (i32.const 0) \"f\")"
        "(func (export \"open\") (result i32) (call $open (i32.const 3) (i32.const 0) (i32.const 0) "
        "(i32.const 1)"
        "  (i32.const 1) (i64.const 68) (i64.const 0) (i32.const 0) (i32.const 64)))"
        "(func (export \"close\") (param i32) (result i32) (call $close (local.get 0)))"
        "(func (export \"renumber\") (param i32 i32) (result i32) (call $renumber (local.get 0) (local.get "
        "1))))");
    struct rt_extern open_file, close_file, renumber;
    assert_true(rt_instance_export(g.instance, "open", 4, &open_file));
    assert_true(rt_instance_export(g.instance, "close", 5, &close_file));
    assert_true(rt_instance_export(g.instance, "renumber", 8, &renumber));
    unsigned opened = 0;
    union rt_slot slots[2] = {{0}};
    while (opened < 200) {
        assert_int_equal(rt_call(g.store, open_file.func, slots, NULL), ATOLL_OK);
        if (slots[0].u32) break;
        opened++;
    }
    assert_in_range(opened, 1, 64);
    slots[0].u64 = 5;
    assert_int_equal(rt_call(g.store, close_file.func, slots, NULL), ATOLL_OK);
    assert_int_equal(slots[0].u32, 0);
    assert_int_equal(rt_call(g.store, open_file.func, slots, NULL), ATOLL_OK);
    assert_int_equal(slots[0].u32, 0);
    static const struct {
        uint32_t from, to;
        bool works;
    } moves[] = {{5, 5, true},         {5, 6, true},           {5, 6, false},
                 {6, 1u << 31, false}, {6, UINT32_MAX, false}, {99, 6, false}};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        slots[0].u64 = moves[i].from;
        slots[1].u64 = moves[i].to;
        assert_int_equal(rt_call(g.store, renumber.func, slots, NULL), ATOLL_OK);
        assert_int_equal(slots[0].u32 == 0, moves[i].works);
    }
    /* a file in the place of the granted directory: nothing is reached through that number any more */
    slots[0].u64 = 7;
    slots[1].u64 = 3;
    assert_int_equal(rt_call(g.store, renumber.func, slots, NULL), ATOLL_OK);
    bool moved = slots[0].u32 == 0;
    assert_int_equal(rt_call(g.store, open_file.func, slots, NULL), ATOLL_OK);
    assert_int_equal(slots[0].u32 != 0, moved);
    close_guest(&g);
}

/* As much as a memory holds: all of it comes, and a stop ends the filling. */
static void random_bytes_of_a_gigabyte_can_be_stopped(void **state) {
    struct guest g = {0};
    (void)state;
    open_guest(
        &g,
        "(module (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result "
        "i32)))"
        "(memory (export \"memory\") 16384)"
        "(func (export \"random\") (param i32) (result i32) (call $random (i32.const 0) (local.get 0))))");
    struct rt_extern random;
    union rt_slot slots[1] = {{.u64 = 100 << 20}};
    assert_true(rt_instance_export(g.instance, "random", 6, &random));
    assert_int_equal(rt_call(g.store, random.func, slots, NULL), ATOLL_OK);
    assert_int_equal(slots[0].u32, 0);
    struct rt_extern memory;
    assert_true(rt_instance_export(g.instance, "memory", 6, &memory));
    static const uint8_t zeros[64];
    assert_memory_not_equal(memory.memory->base + (100 << 20) - 64, zeros, 64);
    assert_memory_equal(memory.memory->base + (100 << 20), zeros, 64);
    rt_store_interrupt(g.store, RT_INTERRUPT_TIMEOUT);
    slots[0].u64 = 1 << 30;
    assert_int_equal(rt_call(g.store, random.func, slots, NULL), ATOLL_E_INTERRUPTED);
    assert_memory_equal(memory.memory->base + (1 << 30) - 64, zeros, 64);
    close_guest(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_answers_hostile_arguments_with_an_errno),
        cmocka_unit_test(polling_with_a_million_subscriptions_is_refused),
        cmocka_unit_test(the_descriptor_table_is_bounded),
        cmocka_unit_test(random_bytes_of_a_gigabyte_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
