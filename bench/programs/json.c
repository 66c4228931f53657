/* A JSON text, written and parsed into a tree: characters, recursion, allocation. */
#include "bench.h"

struct value {
    char kind; /* n s [ { */
    double number;
    uint32_t hash;
    struct value *first, *next;
};
static char *text;
static size_t size, capacity;
static struct value *pool;
static size_t used;

static void put(const char *s) {
    size_t n = strlen(s);
    if (size + n + 1 > capacity) {
        capacity = 2 * (size + n + 1);
        text = realloc(text, capacity);
        if (!text) exit(1);
    }
    memcpy(text + size, s, n + 1);
    size += n;
}

static void generate(uint64_t *seed, int depth) {
    char item[48];
    uint64_t r = bench_random(seed);
    if (depth == 0 || r % 4 == 0) {
        snprintf(item, sizeof item, r % 3 ? "%d.%d" : "\"k%d \\u00e9 %d\"", (int)(r >> 40 & 0xFFFF),
                 (int)(r >> 20 & 0xFFF));
        put(item);
        return;
    }
    int object = r >> 8 & 1;
    put(object ? "{" : "[");
    for (int i = 0, n = 1 + (int)(r >> 16 & 7); i < n; i++) {
        if (i) put(", ");
        snprintf(item, sizeof item, "\"name%d\": ", i);
        if (object) put(item);
        generate(seed, depth - 1);
    }
    put(object ? "}" : "]");
}

static const char *at;

static void blank(void) {
    while (*at == ' ') at++;
}

static uint32_t string(void) {
    uint32_t hash = 2166136261u;
    for (at++; *at != '"'; at++) {
        if (*at == '\\') at++;
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    }
    at++;
    return hash;
}

static double number(void) {
    double value = 0, scale = 1;
    while (*at >= '0' && *at <= '9') value = value * 10 + (*at++ - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) value += (*at - '0') * (scale /= 10);
    return value;
}

static struct value *parse(void) {
    struct value *v = &pool[used++];
    *v = (struct value){.kind = 'n'};
    blank();
    if (*at == '"') {
        v->kind = 's';
        v->hash = string();
    } else if (*at == '[' || *at == '{') {
        struct value **tail = &v->first;
        v->kind = *at;
        char end = *at++ == '[' ? ']' : '}';
        for (blank(); *at != end; blank()) {
            uint32_t key = 0;
            if (*at == ',') at++, blank();
            if (v->kind == '{') {
                key = string();
                blank();
                at++; /* colon */
            }
            *tail = parse();
            (*tail)->hash ^= key;
            tail = &(*tail)->next;
        }
        at++;
    } else {
        v->number = number();
    }
    return v;
}

static uint64_t fold(const struct value *v) {
    uint64_t sum = v->hash + (uint64_t)(v->number * 16) + (uint64_t)v->kind;
    for (const struct value *c = v->first; c; c = c->next) sum = sum * 31 + fold(c);
    return sum;
}

int main(int argc, char **argv) {
    uint64_t seed = 41, sum = 0;
    put("[");
    for (int i = 0; i < 400; i++) {
        if (i) put(",");
        generate(&seed, 4);
    }
    put("]");
    pool = malloc(size * sizeof *pool);
    if (!pool) return 1;
    for (long n = bench_size(argc, argv, 130); n > 0; n--) {
        used = 0;
        at = text;
        sum = sum * 7 + fold(parse());
    }
    return bench_done(sum);
}
