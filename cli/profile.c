/* cli/profile.c: where a program's time goes. A timer of the program's first thread, by the CPU time it takes, interrupts
 * it; the handler writes the compiled functions on its stack into memory that was set aside; all else comes afterwards. Handlers
 * have no context argument, hence the static. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "cli/profile.h"
#include "jit/jit.h"

#define PERIOD_NS  1009000 /* near a millisecond, in step with nothing */
#define MAX_FRAMES 128
#define ROOM_BYTES ((size_t)256 << 20) /* of addresses: what is not written takes no memory */
#define MAX_LINES  40
#define ROW        16 /* pixels */
#define WIDTH      1200
#define NARROWEST  0.3

/* A function, or (module NULL) what is none: where the host or the interpreter runs. */
struct place {
    const struct rt_module *module;
    uint32_t func, self, total, seen; /* seen: the last sample it was counted in */
};
struct node { /* of the tree of calls */
    struct node *child, *next;
    uint32_t place, count;
};
struct profile {
    struct rt_store *store;
    struct jit_sampled
        *room; /* a sample: module NULL and func = number of frames, then frames, innermost first */
    size_t n, capacity;
    uint32_t n_samples, n_lost;
    timer_t timer;
    bool running;
    struct place *places;
    size_t n_places, cap_places;
    struct node *root;
};
static struct profile *sampling;

/* ---- while the program runs ---- */

static void take_sample(int number, siginfo_t *info, void *context) {
    struct profile *p = sampling;
    (void)number, (void)info;
    if (!p) return;
    if (p->capacity - p->n <= MAX_FRAMES + 1) {
        p->n_lost++;
        return;
    }
    bool in_host = false;
    struct jit_sampled *head = p->room + p->n;
    uint32_t n = jit_sample(p->store, context, head + 1, MAX_FRAMES, &in_host);
    *head = (struct jit_sampled){NULL, n << 1 | in_host};
    p->n += n + 1;
    p->n_samples++;
}

struct profile *profile_new(struct rt_store *store) {
    struct profile *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->store = store;
    p->room =
        mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p->capacity = ROOM_BYTES / sizeof *p->room;
    if (p->room != MAP_FAILED) return p;
    free(p);
    return NULL;
}

bool profile_start(struct profile *p) {
    struct sigaction action = {.sa_sigaction = take_sample, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    struct itimerspec every = {{0, PERIOD_NS}, {0, PERIOD_NS}};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigemptyset(&action.sa_mask);
    if (rt_thread_prepare() || sigaction(SIGPROF, &action, NULL)) return false;
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &p->timer)) return false;
    sampling = p;
    p->running = !timer_settime(p->timer, 0, &every, NULL);
    return p->running;
}

void profile_stop(struct profile *p) {
    if (!p->running) return;
    signal(SIGPROF, SIG_IGN);
    timer_delete(p->timer);
    sampling = NULL;
    p->running = false;
}

/* ---- afterwards: functions ---- */

static uint32_t place_of(struct profile *p, const struct rt_module *module, uint32_t func) {
    for (size_t i = 0; i < p->n_places; i++)
        if (p->places[i].module == module && p->places[i].func == func) return (uint32_t)i;
    if (atoll_grow(&atoll_default_alloc, (void **)&p->places, &p->cap_places, p->n_places + 1,
                   sizeof *p->places))
        return 0;
    p->places[p->n_places] = (struct place){.module = module, .func = func};
    return (uint32_t)p->n_places++;
}

/* At most `most` bytes of text, no character cut. */
static size_t whole_characters(const char *text, size_t most) {
    size_t n = strnlen(text, most);
    while (n && ((uint8_t)text[n] & 0xC0) == 0x80) n--;
    return n;
}

static void name_of(const struct place *place, char *out, size_t size) {
    struct bc_name name = {0};
    struct bc_buf text;
    if (!place->module) {
        snprintf(out, size, "%s", place->func ? "[host or interpreter]" : "[not in compiled code]");
        return;
    }
    name = rt_module_func_name((struct rt_module *)(uintptr_t)place->module, place->func);
    snprintf(out, size, "func[%" PRIu32 "]", place->func);
    if (!name.size) return;
    bc_buf_init(&text, &atoll_default_alloc);
    rt_put_name(&text, name); /* nothing in it moves a terminal's cursor, or is no UTF-8 */
    bc_buf_u8(&text, 0);
    if (!text.failed) {
        const size_t n = whole_characters((const char *)text.data, size - 1);
        memcpy(out, text.data, n);
        out[n] = 0;
    }
    bc_buf_fini(&text);
}

static struct node *child_of(struct node *node, uint32_t place) {
    for (struct node *c = node->child; c; c = c->next)
        if (c->place == place) return c;
    struct node *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    *c = (struct node){.place = place, .next = node->child};
    return node->child = c;
}

static void count(struct profile *p, struct node **node, uint32_t place, uint32_t sample) {
    if (p->places[place].seen != sample) p->places[place].total++;
    p->places[place].seen = sample;
    if (*node) *node = child_of(*node, place);
    if (*node) (*node)->count++;
}

/* From the outermost frame to the innermost. */
static bool add_up(struct profile *p) {
    uint32_t sample = 0;
    p->root = calloc(1, sizeof *p->root);
    for (size_t at = 0; at < p->n && p->root; sample++) {
        uint32_t n = p->room[at].func >> 1, place = 0;
        bool in_host = p->room[at].func & 1;
        struct node *node = p->root;
        node->count++;
        for (uint32_t i = n; i > 0; i--) {
            place = place_of(p, p->room[at + i].module, p->room[at + i].func);
            if (!p->n_places) return false;
            count(p, &node, place, sample + 1);
        }
        if (in_host || !n) {
            place = place_of(p, NULL, n > 0);
            if (!p->n_places) return false;
            count(p, &node, place, sample + 1);
        }
        p->places[place].self++;
        at += n + 1;
    }
    return p->root != NULL;
}

static int by_self(const void *x, const void *y) {
    const struct place *a = x, *b = y;
    return a->self != b->self ? (a->self < b->self) - (a->self > b->self)
                              : (a->total < b->total) - (a->total > b->total);
}

static void print_table(const struct profile *p) {
    struct place *sorted = calloc(p->n_places + 1, sizeof *sorted);
    char name[160];
    if (!sorted) return;
    if (p->n_places) memcpy(sorted, p->places, p->n_places * sizeof *sorted);
    qsort(sorted, p->n_places, sizeof *sorted, by_self);
    cli_message("%" PRIu32 " samples, %.2f s of CPU time", p->n_samples, p->n_samples * (PERIOD_NS * 1e-9));
    if (p->n_lost) cli_message("%" PRIu32 " more had no room", p->n_lost);
    if (p->n_places) fprintf(stderr, "   self   total  function\n");
    for (size_t i = 0; i < p->n_places && i < MAX_LINES; i++) {
        name_of(sorted + i, name, sizeof name);
        fprintf(stderr, "%6.1f%% %6.1f%%  %s\n", 100.0 * sorted[i].self / p->n_samples,
                100.0 * sorted[i].total / p->n_samples, name);
    }
    if (p->n_places > MAX_LINES) fprintf(stderr, "   ... and %zu more\n", p->n_places - MAX_LINES);
    free(sorted);
}

/* ---- afterwards: the flame graph ---- */

static uint32_t depth_of(const struct node *root) {
    uint32_t deepest = 0; /* a path is no longer than a sample: the recursion is bounded */
    for (const struct node *c = root->child; c; c = c->next) {
        uint32_t depth = 1 + depth_of(c);
        if (depth > deepest) deepest = depth;
    }
    return deepest;
}

/* As XML has it, which knows no U+FFFE and U+FFFF. At most so many characters. */
static void put_escaped(struct bc_buf *out, const char *text, size_t most) {
    for (const uint8_t *c = (const uint8_t *)text; *c; c++) {
        bool begins = (*c & 0xC0) != 0x80, none = c[0] == 0xEF && c[1] == 0xBF && c[2] >= 0xBE;
        if (begins && !most--) return;
        if (none)
            bc_buf_u8(out, '?'), c += 2;
        else if (strchr("<>&\"", *c))
            bc_buf_text(out, "&#%d;", *c);
        else
            bc_buf_u8(out, *c);
    }
}

static void draw(const struct profile *p, const struct node *node, double x, uint32_t depth, uint32_t height,
                 struct bc_buf *out) {
    double scale = (double)WIDTH / p->n_samples;
    for (const struct node *c = node->child; c; c = c->next) {
        double width = c->count * scale;
        uint32_t y = height - (depth + 2) * ROW, hue = (p->places[c->place].func * 37u + 11u) % 50;
        char name[160];
        if (width < NARROWEST) {
            x += width;
            continue;
        }
        name_of(p->places + c->place, name, sizeof name);
        bc_buf_text(out, "<g><title>");
        put_escaped(out, name, sizeof name);
        bc_buf_text(out,
                    ": %" PRIu32 " samples, %.2f%%</title><rect x=\"%.2f\" y=\"%" PRIu32
                    "\" width=\"%.2f\" height=\"%d\" ",
                    c->count, 100.0 * c->count / p->n_samples, x, y, width, ROW - 1);
        bc_buf_text(out, "fill=\"hsl(%" PRIu32 ",80%%,62%%)\"/>", p->places[c->place].module ? hue : 200);
        if (width > 30) {
            bc_buf_text(out, "<text x=\"%.2f\" y=\"%" PRIu32 "\">", x + 3, y + ROW - 4);
            put_escaped(out, name, (size_t)(width / 7));
            bc_buf_text(out, "</text>");
        }
        bc_buf_text(out, "</g>\n");
        draw(p, c, x, depth + 1, height, out);
        x += width;
    }
}

static int write_svg(const struct profile *p, const char *path) {
    struct bc_buf out;
    uint32_t height = (depth_of(p->root) + 3) * ROW;
    bc_buf_init(&out, &atoll_default_alloc);
    bc_buf_text(&out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%" PRIu32
                "\" viewBox=\"0 0 %d %" PRIu32 "\" font-family=\"monospace\" font-size=\"11\">\n<rect "
                "width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                WIDTH, height, WIDTH, height);
    bc_buf_text(&out, "<text x=\"3\" y=\"12\">%" PRIu32 " samples, callers below what they call</text>\n",
                p->n_samples);
    if (p->n_samples) draw(p, p->root, 0, 0, height, &out);
    bc_buf_text(&out, "</svg>\n");
    int result = out.failed ? CLI_INTERNAL : cli_file_write(path, out.data, out.size);
    bc_buf_fini(&out);
    return result;
}

static void free_tree(struct node *node) {
    while (node) {
        struct node *next = node->next;
        free_tree(node->child);
        free(node);
        node = next;
    }
}

int profile_report(struct profile *p, const char *svg) {
    int result = CLI_OK;
    if (!add_up(p)) {
        cli_message("out of memory");
        return CLI_INTERNAL;
    }
    print_table(p);
    if (svg) result = write_svg(p, svg);
    return result;
}

void profile_free(struct profile *p) {
    if (!p) return;
    profile_stop(p);
    munmap(p->room, ROOM_BYTES);
    atoll_free(&atoll_default_alloc, p->places, p->cap_places * sizeof *p->places);
    free_tree(p->root);
    free(p);
}
