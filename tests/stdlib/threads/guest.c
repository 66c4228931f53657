/* tests/stdlib/threads/guest.c: a program with threads and without a C library (Debian's has none with
 * threads). Its first argument says what it does; it says on standard output what came of it. */
#include <stdint.h>

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t name
struct piece {
    const void *at;
    uint32_t size;
};
WASI(fd_write)(int32_t fd, const struct piece *pieces, uint32_t n, uint32_t *out);
WASI(fd_read)(int32_t fd, const struct piece *pieces, uint32_t n, uint32_t *out);
WASI(fd_close)(int32_t fd);
WASI(fd_readdir)(int32_t fd, void *buffer, uint32_t size, uint64_t cookie, uint32_t *out);
WASI(fd_renumber)(int32_t from, int32_t to);
WASI(path_open)
(int32_t dir, uint32_t lookup, const char *path, uint32_t size, uint32_t oflags, uint64_t base,
 uint64_t inheriting, uint32_t fdflags, int32_t *out);
WASI(path_unlink_file)(int32_t dir, const char *path, uint32_t size);
WASI(poll_oneoff)(const void *in, void *out, uint32_t n, uint32_t *out_n);
WASI(args_sizes_get)(uint32_t *n, uint32_t *bytes);
WASI(args_get)(char **argv, char *bytes);
WASI(random_get)(void *at, uint32_t n);
WASI(sched_yield)(void);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_exit"), noreturn)) void
proc_exit(int32_t status);
__attribute__((import_module("wasi"), import_name("thread-spawn"))) int32_t thread_spawn(void *arg);

/* ---- what a C library would bring ---- */

void *memset(void *to, int byte, unsigned long n);
void *memset(void *to, int byte, unsigned long n) {
    for (char *p = to; n--;) *p++ = (char)byte;
    return to;
}

static uint32_t length(const char *text) {
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}
static int same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}
static void put(int32_t fd, const char *text) {
    uint32_t n;
    struct piece piece = {text, length(text)};
    fd_write(fd, &piece, 1, &n);
}
static void say(const char *text, uint32_t number) {
    char line[80], digits[12];
    uint32_t n = 0, d = 0;
    for (; *text; text++) line[n++] = *text;
    line[n++] = ' ';
    do digits[d++] = (char)('0' + number % 10);
    while (number /= 10);
    while (d) line[n++] = digits[--d];
    line[n++] = '\n';
    line[n] = 0;
    put(1, line);
}

/* ---- threads ---- */

enum { MAX_THREADS = 16, STACK_BYTES = 32768 };
struct thread {
    uint32_t stack_top; /* first: wasi_thread_start loads it */
    void (*run)(uint32_t number);
    uint32_t number;
    uint32_t over; /* notified */
    int32_t tid;
};
static struct thread threads[MAX_THREADS];
static _Alignas(16) char stacks[MAX_THREADS][STACK_BYTES];

static void wait_for(uint32_t *word, uint32_t not_this) {
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == not_this)
        __builtin_wasm_memory_atomic_wait32((int *)word, (int)not_this, -1);
}
static void set_and_notify(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    __builtin_wasm_memory_atomic_notify((int *)word, UINT32_MAX);
}

void begin(int32_t tid, struct thread *t); /* from start.s, on the thread's own stack */
void begin(int32_t tid, struct thread *t) {
    t->tid = tid;
    t->run(t->number);
    set_and_notify(&t->over, 1);
}
static int32_t start(uint32_t i, void (*run)(uint32_t)) {
    threads[i] = (struct thread){(uint32_t)(uintptr_t)stacks[i + 1], run, i, 0, 0};
    if (i + 1 == MAX_THREADS) threads[i].stack_top = (uint32_t)(uintptr_t)stacks + sizeof stacks;
    return thread_spawn(&threads[i]);
}
static void join(uint32_t i) { wait_for(&threads[i].over, 0); }

static uint32_t lock_word; /* 0 free, 1 held, 2 held and wanted */
static void lock(void) {
    uint32_t seen = 0;
    if (__atomic_compare_exchange_n(&lock_word, &seen, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (__atomic_exchange_n(&lock_word, 2, __ATOMIC_SEQ_CST))
        __builtin_wasm_memory_atomic_wait32((int *)&lock_word, 2, -1);
}
static void unlock(void) {
    if (__atomic_exchange_n(&lock_word, 0, __ATOMIC_SEQ_CST) == 2)
        __builtin_wasm_memory_atomic_notify((int *)&lock_word, 1);
}

/* ---- what it does ---- */

static uint32_t counter, atomic_counter;
static int32_t shared_fd;

static void count(uint32_t number) {
    (void)number;
    for (int i = 0; i < 2000; i++) {
        lock();
        counter++;
        unlock();
        __atomic_fetch_add(&atomic_counter, 1, __ATOMIC_SEQ_CST);
    }
}

/* Lines to one file, files of its own opened and closed, a directory listed: the descriptor table is busy. */
static void do_files(uint32_t number) {
    char name[] = "own-?", buffer[256];
    int32_t fd;
    uint32_t n;
    name[4] = (char)('a' + number);
    for (int i = 0; i < 50; i++) {
        put(shared_fd, "one line\n");
        if (path_open(3, 0, name, 5, 1, ~0ull >> 35, 0, 0, &fd)) {
            if (path_open(3, 0, name, 5, 1, 1 << 6, 0, 0, &fd)) __builtin_trap();
        }
        put(fd, "x");
        if (fd_readdir(3, buffer, sizeof buffer, 0, &n)) __builtin_trap();
        if (fd_close(fd)) __builtin_trap();
    }
    if (path_unlink_file(3, name, 5)) __builtin_trap();
}

static void exit_with_7(uint32_t number) {
    (void)number;
    proc_exit(7);
}
static void trap(uint32_t number) {
    (void)number;
    __builtin_trap();
}
static void loop(uint32_t number) {
    (void)number;
    for (volatile uint32_t i = 0;; i++) {}
}
static void wait(uint32_t number) {
    uint32_t never = number;
    wait_for(&never, number);
}
static void sleep_in_poll(uint32_t number) {
    struct {
        uint64_t userdata;
        uint8_t tag;
        _Alignas(8) uint32_t id;
        uint64_t timeout, precision;
        uint16_t flags;
    } in = {.id = 1, .timeout = (uint64_t)3600 * 1000000000};
    char out[32];
    uint32_t n;
    (void)number;
    poll_oneoff(&in, out, 1, &n);
}
static void read_input(uint32_t number) {
    char byte;
    struct piece piece = {&byte, 1};
    uint32_t n;
    (void)number;
    fd_read(0, &piece, 1, &n);
}
static void nothing(uint32_t number) { (void)number; }
static void spawn_more(uint32_t number) {
    if (number + 1 < 8) {
        if (start(number + 1, spawn_more) < 0) __builtin_trap();
        join(number + 1);
    }
    __atomic_fetch_add(&atomic_counter, 1, __ATOMIC_SEQ_CST);
}
static void deep(uint32_t number) {
    if (number != UINT32_MAX) deep(number + 1);
    __atomic_fetch_add(&atomic_counter, 1, __ATOMIC_SEQ_CST); /* not a tail call */
}

/* Pointers, sizes and paths that change while the host looks at them: it must not see one value when it
 * checks and another when it acts. `bait` says inside and outside in turns. */
static struct piece baited_piece;
static char bait[] = "own-z", noise[8];
static uint32_t racing;
static void change_arguments(uint32_t number) {
    (void)number;
    while (__atomic_load_n(&racing, __ATOMIC_SEQ_CST)) {
        for (int i = 0; i < 200; i++) {
            *(volatile uint32_t *)&baited_piece.size = 4;
            *(volatile char *)bait = '.', *(volatile char *)(bait + 1) = '.',
                            *(volatile char *)(bait + 2) = '/';
            *(volatile uint32_t *)&baited_piece.size = 0xFFFFFFF0;
            *(volatile char *)bait = 'o', *(volatile char *)(bait + 1) = 'w',
                            *(volatile char *)(bait + 2) = 'n';
        }
    }
}
static void use_arguments(uint32_t number) {
    uint32_t n;
    int32_t fd;
    for (int i = 0; i < 2000; i++) {
        int32_t error = fd_write(shared_fd, &baited_piece, 1, &n);
        if (error && error != 21) say("fd_write", (uint32_t)error);
        if (!error && n > 4) say("written", n);
        if (!path_open(3, 0, bait, 5, 0, 2, 0, 0, &fd)) {
            say("opened outside", number);
            fd_close(fd);
        }
        fd_renumber(100 + (int32_t)number, 3);
        random_get(noise, sizeof noise);
    }
}

static char arguments[512];
static char *argv[16];

static void all(uint32_t n, void (*run)(uint32_t)) {
    for (uint32_t i = 0; i < n; i++)
        if (start(i, run) < 0) say("no thread", i);
    for (uint32_t i = 0; i < n; i++) join(i);
}

static int32_t open_log(void) {
    int32_t fd = -1;
    if (path_open(3, 0, "log", 3, 1 | 8, 1 << 6, 0, 1, &fd)) put(1, "no log\n");
    return fd;
}

/* `what` on a thread, while the first one does `meanwhile`. */
static void beside(void (*what)(uint32_t), const char *meanwhile) {
    static const struct {
        const char *name;
        void (*run)(uint32_t);
    } doings[] = {{"loop", loop},       {"wait", wait},      {"poll", sleep_in_poll},
                  {"read", read_input}, {"return", nothing}, {"trap", trap}};
    for (int i = 0; i < 6; i++) {
        if (!same(meanwhile, doings[i].name)) continue;
        start(1, i < 4 ? doings[i].run : wait); /* two more, which only have to end */
        start(2, loop);
        start(0, what);
        doings[i].run(0);
    }
}

void _start(void) __attribute__((export_name("_start")));
void _start(void) {
    uint32_t n, bytes;
    args_sizes_get(&n, &bytes);
    args_get(argv, arguments);
    const char *what = n > 1 ? argv[1] : "", *more = n > 2 ? argv[2] : "";
    if (same(what, "count")) {
        all(8, count);
        say("counter", counter);
        say("atomic counter", atomic_counter);
    } else if (same(what, "files")) {
        shared_fd = open_log();
        all(8, do_files);
        put(1, "done\n");
    } else if (same(what, "exit")) {
        beside(exit_with_7, more);
    } else if (same(what, "trap")) {
        beside(trap, more);
    } else if (same(what, "deep")) {
        beside(deep, more);
    } else if (same(what, "beside")) {
        beside(wait, more);
    } else if (same(what, "nested")) {
        all(1, spawn_more);
        say("threads", atomic_counter);
    } else if (same(what, "limit")) {
        for (n = 0; n < 8; n++) {
            int32_t tid = start(n, wait);
            if (tid < 0) {
                say("refused", (uint32_t)-tid);
                break;
            }
        }
        say("started", n);
    } else if (same(what, "many")) {
        for (n = 0; n < 1000; n++) {
            while (start(n % 4, nothing) < 0) sched_yield(); /* ended, but not yet gone */
            join(n % 4);
        }
        say("one after another", n);
    } else if (same(what, "race")) {
        shared_fd = open_log();
        baited_piece.at = "four";
        racing = 1;
        start(8, change_arguments);
        start(9, change_arguments);
        all(4, use_arguments);
        set_and_notify(&racing, 0);
        join(8);
        join(9);
        put(1, "inside\n");
    } else if (same(what, "grow")) {
        for (n = 0; __builtin_wasm_memory_grow(0, 1) != (unsigned long)-1; n++) {}
        say("pages", (uint32_t)__builtin_wasm_memory_size(0));
    } else {
        put(1, "which?\n");
    }
}
