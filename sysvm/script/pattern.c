/* sysvm/script/pattern.c: see pattern.h.
 *
 *   text -> compile (one pass; jumps are relative, so that what stands already can be moved behind a new step)
 *        -> steps: BYTES set | SPLIT a b | JUMP a | LINE (a line begins here) | MATCH */
#include <string.h>
#include "sysvm/script/pattern.h"

enum op { BYTES, SPLIT, JUMP, LINE, MATCH };

struct step {
    enum op op;
    int32_t a, b;    /* how far to go, from here */
    uint64_t set[4]; /* BYTES: bit n: byte n */
};

/* A set of steps that is emptied at once. */
struct states {
    uint16_t *dense, *sparse;
    size_t n;
};

struct pattern {
    const struct atoll_alloc *alloc;
    struct step *steps;
    size_t n_steps, cap_steps;
    struct states now, next;
    uint16_t *numbers; /* what both consist of, and `stack` */
    uint16_t *stack;
};

/* ---- compiling ---- */

struct compiler {
    struct pattern *p;
    const char *text;
    size_t at, n;
    bool fold_case;
    struct atoll_error *err;
    enum atoll_status status;
};

static bool fail(struct compiler *c, enum atoll_status code, const char *text) {
    if (c->status != ATOLL_OK) return false;
    c->status = atoll_fail(c->err, code, ATOLL_NO_OFFSET, "%s", text);
    if (c->err) c->err->line = 1, c->err->column = (uint32_t)c->at + 1;
    return false;
}

static bool insert(struct compiler *c, size_t at, struct step step) {
    struct pattern *p = c->p;
    if (p->n_steps == PATTERN_STEPS_MAX) return fail(c, ATOLL_E_LIMIT, "the pattern is too large");
    if (atoll_grow(p->alloc, (void **)&p->steps, &p->cap_steps, p->n_steps + 1, sizeof *p->steps))
        return fail(c, ATOLL_E_NOMEM, "out of memory");
    memmove(p->steps + at + 1, p->steps + at, (p->n_steps - at) * sizeof *p->steps);
    p->steps[at] = step;
    p->n_steps++;
    return true;
}

static bool append(struct compiler *c, struct step step) { return insert(c, c->p->n_steps, step); }

static bool has(const uint64_t *set, uint8_t byte) { return set[byte >> 6] >> (byte & 63) & 1; }
static void put(uint64_t *set, uint8_t byte) { set[byte >> 6] |= UINT64_C(1) << (byte & 63); }
static bool is_letter(uint8_t c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

static void fold(const struct compiler *c, uint64_t *set) {
    for (unsigned byte = 0; c->fold_case && byte < 128; byte++)
        if (is_letter((uint8_t)byte) && has(set, (uint8_t)byte)) put(set, (uint8_t)(byte ^ 32));
}

static bool append_set(struct compiler *c, const uint64_t *set) {
    struct step step = {.op = BYTES};
    memcpy(step.set, set, sizeof step.set);
    return append(c, step);
}

static bool append_byte(struct compiler *c, uint8_t byte) {
    uint64_t set[4] = {0};
    put(set, byte);
    fold(c, set);
    return append_set(c, set);
}

static bool more(const struct compiler *c) { return c->at < c->n; }
static bool next_is(const struct compiler *c, char byte) { return more(c) && c->text[c->at] == byte; }
static bool take(struct compiler *c, char byte) {
    if (!next_is(c, byte)) return false;
    c->at++;
    return true;
}

static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_hex(struct compiler *c, uint64_t *set) {
    int value = 0;
    for (int i = 0; i < 2; i++, c->at++) {
        int d = more(c) ? digit(c->text[c->at]) : -1;
        if (d < 0) return fail(c, ATOLL_E_SYNTAX, "two hexadecimal digits are expected");
        value = value << 4 | d;
    }
    put(set, (uint8_t)value);
    return true;
}

static void put_range(uint64_t *set, uint8_t from, uint8_t to) {
    for (unsigned byte = from; byte <= to; byte++) put(set, (uint8_t)byte);
}

/* Behind a backslash: what it stands for comes into the set. */
static bool take_escape(struct compiler *c, uint64_t *set) {
    static const char from[] = "rntef", to[] = "\r\n\t\x1b\f";
    if (!more(c)) return fail(c, ATOLL_E_SYNTAX, "a backslash is the last character");
    char byte = c->text[c->at++];
    const char *found = byte ? strchr(from, byte) : NULL;
    if (found)
        put(set, (uint8_t)to[found - from]);
    else if (byte == 'x')
        return take_hex(c, set);
    else if (byte == 'd' || byte == 'w')
        put_range(set, '0', '9');
    else if (byte == 's')
        put_range(set, '\t', '\r'), put(set, ' ');
    else if (is_letter((uint8_t)byte) || digit(byte) >= 0)
        return c->at--, fail(c, ATOLL_E_SYNTAX, "an escape that no pattern has");
    else
        put(set, (uint8_t)byte);
    if (byte == 'w') put_range(set, 'a', 'z'), put_range(set, 'A', 'Z'), put(set, '_');
    return true;
}

/* One byte of a class; *out_byte is what a range may begin or end with, -1 after a class such as \d. */
static bool take_member(struct compiler *c, uint64_t *set, int *out_byte) {
    uint64_t member[4] = {0};
    if (!more(c)) return fail(c, ATOLL_E_SYNTAX, "a class has no \"]\"");
    uint8_t byte = (uint8_t)c->text[c->at++];
    if (byte >= 0x80) return c->at--, fail(c, ATOLL_E_SYNTAX, "a class has ASCII characters only");
    if (byte != '\\')
        put(member, byte);
    else if (!take_escape(c, member))
        return false;
    int n = 0;
    for (unsigned i = 0; i < 256; i++)
        if (has(member, (uint8_t)i)) n++, *out_byte = (int)i;
    if (n > 1) *out_byte = -1;
    for (size_t i = 0; i < 4; i++) set[i] |= member[i];
    return true;
}

/* Behind "[". "]" is a member where it comes first. */
static bool take_class(struct compiler *c) {
    uint64_t set[4] = {0};
    bool negated = take(c, '^'), first = true;
    for (; first || !take(c, ']'); first = false) {
        int from, to;
        if (!take_member(c, set, &from)) return false;
        if (!next_is(c, '-') || (c->at + 1 < c->n && c->text[c->at + 1] == ']')) continue;
        c->at++;
        if (!take_member(c, set, &to)) return false;
        if (from < 0 || to < from) return fail(c, ATOLL_E_SYNTAX, "a range that is none");
        put_range(set, (uint8_t)from, (uint8_t)to);
    }
    fold(c, set);
    for (size_t i = 0; negated && i < 4; i++) set[i] = ~set[i];
    return append_set(c, set);
}

static bool take_alternatives(struct compiler *c, unsigned depth);

/* \r*\n */
static bool append_line_end(struct compiler *c) {
    return append(c, (struct step){.op = SPLIT, .a = 1, .b = 3}) && append_byte(c, '\r') &&
           append(c, (struct step){.op = JUMP, .a = -2}) && append_byte(c, '\n');
}

static bool take_atom(struct compiler *c, unsigned depth) {
    uint64_t set[4] = {0};
    char byte = c->text[c->at++];
    switch (byte) {
    case '(':
        if (depth == PATTERN_DEPTH_MAX) return fail(c, ATOLL_E_LIMIT, "too many parentheses in each other");
        /* An empty group is a step, too, so that repeating it is bounded as all is. */
        if (!append(c, (struct step){.op = JUMP, .a = 1}) || !take_alternatives(c, depth + 1)) return false;
        return take(c, ')') || fail(c, ATOLL_E_SYNTAX, "\")\" is missing");
    case '[': return take_class(c);
    case '.':
        put_range(set, 0, 255);
        set[0] &= ~(UINT64_C(1) << '\n');
        return append_set(c, set);
    case '^': return append(c, (struct step){.op = LINE});
    case '$': return append_line_end(c);
    case '\\': return take_escape(c, set) && append_set(c, set);
    case '*':
    case '+':
    case '?':
    case '{': return c->at--, fail(c, ATOLL_E_SYNTAX, "there is nothing to repeat");
    default: return append_byte(c, (uint8_t)byte);
    }
}

/* ---- repetition ---- */

/* The steps from `start` on, any number of times. */
static bool repeat_any(struct compiler *c, size_t start) {
    int32_t n = (int32_t)(c->p->n_steps - start);
    return insert(c, start, (struct step){.op = SPLIT, .a = 1, .b = n + 2}) &&
           append(c, (struct step){.op = JUMP, .a = -(n + 1)});
}
static bool repeat_once_or_not(struct compiler *c, size_t start) {
    int32_t n = (int32_t)(c->p->n_steps - start);
    return insert(c, start, (struct step){.op = SPLIT, .a = 1, .b = n + 1});
}

static bool copy(struct compiler *c, size_t start, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!append(c, c->p->steps[start + i])) return false;
    return true;
}

static bool take_number(struct compiler *c, unsigned *out) {
    size_t start = c->at;
    for (*out = 0; more(c) && c->text[c->at] >= '0' && c->text[c->at] <= '9'; c->at++) {
        *out = *out * 10 + (unsigned)(c->text[c->at] - '0');
        if (*out > PATTERN_REPEATS_MAX)
            return fail(c, ATOLL_E_LIMIT, "something is repeated at most 255 times");
    }
    return c->at > start || fail(c, ATOLL_E_SYNTAX, "a number is expected");
}

/* Behind "{": the steps from `start` on stay as they are until all copies are made of them. */
static bool repeat_counted(struct compiler *c, size_t start) {
    unsigned least, most;
    size_t n = c->p->n_steps - start;
    if (!take_number(c, &least)) return false;
    most = least;
    bool comma = take(c, ','), endless = comma && next_is(c, '}');
    if (comma && !endless && !take_number(c, &most)) return false;
    if (!take(c, '}')) return fail(c, ATOLL_E_SYNTAX, "\"}\" is missing");
    if (most < least || (!most && !endless)) return fail(c, ATOLL_E_SYNTAX, "a repetition that is none");
    for (unsigned i = 1; i < most + (endless && least); i++) {
        size_t at = c->p->n_steps;
        if (!copy(c, start, n)) return false;
        if (i >= least && !(endless ? repeat_any(c, at) : repeat_once_or_not(c, at))) return false;
    }
    if (least) return true;
    return endless ? repeat_any(c, start) : repeat_once_or_not(c, start);
}

static bool take_repeats(struct compiler *c, size_t start) {
    for (;;) {
        bool done =
            take(c, '*')   ? repeat_any(c, start)
            : take(c, '?') ? repeat_once_or_not(c, start)
            : take(c, '+')
                ? append(c, (struct step){.op = SPLIT, .a = -(int32_t)(c->p->n_steps - start), .b = 1})
            : take(c, '{') ? repeat_counted(c, start)
                           : false;
        if (!done) return c->status == ATOLL_OK;
    }
}

static bool take_sequence(struct compiler *c, unsigned depth) {
    while (more(c) && !next_is(c, '|') && !next_is(c, ')')) {
        size_t start = c->p->n_steps;
        if (!take_atom(c, depth) || !take_repeats(c, start)) return false;
    }
    return true;
}

/* a|b|c:  SPLIT 1 2 | a | JUMP end | 2: SPLIT 1 3 | b | JUMP end | 3: c. A jump to the end is marked by 0 until the end
 * is known; what was inserted before it by then moved it as a whole. */
static bool take_alternatives(struct compiler *c, unsigned depth) {
    struct pattern *p = c->p;
    size_t start = p->n_steps, first = start;
    if (!take_sequence(c, depth)) return false;
    while (take(c, '|')) {
        int32_t n = (int32_t)(p->n_steps - start);
        if (!insert(c, start, (struct step){.op = SPLIT, .a = 1, .b = n + 2}) ||
            !append(c, (struct step){.op = JUMP}))
            return false;
        start = p->n_steps;
        if (!take_sequence(c, depth)) return false;
    }
    for (size_t i = first; i < p->n_steps; i++)
        if (p->steps[i].op == JUMP && !p->steps[i].a) p->steps[i].a = (int32_t)(p->n_steps - i);
    return true;
}

static bool compile(struct compiler *c, bool literal) {
    if (!literal) {
        if (!take_alternatives(c, 0)) return false;
        if (more(c)) return fail(c, ATOLL_E_SYNTAX, "\")\" without \"(\"");
    }
    for (; literal && more(c); c->at++)
        if (!append_byte(c, (uint8_t)c->text[c->at])) return false;
    return append(c, (struct step){.op = MATCH});
}

/* ---- matching ---- */

static bool contains(const struct states *s, uint16_t state) {
    uint16_t at = s->sparse[state];
    return at < s->n && s->dense[at] == state;
}

/* A step and what is reached from it without a byte; true: the match. */
static bool reach(struct pattern *p, struct states *s, size_t from, bool at_line_start) {
    size_t n = 0;
    bool matched = false;
    p->stack[n++] = (uint16_t)from;
    while (n) {
        uint16_t at = p->stack[--n];
        if (contains(s, at)) continue;
        s->sparse[at] = (uint16_t)s->n;
        s->dense[s->n++] = at;
        const struct step *step = p->steps + at;
        if (step->op == MATCH) matched = true;
        if (step->op == SPLIT) p->stack[n++] = (uint16_t)(at + step->b);
        if (step->op == SPLIT || step->op == JUMP) p->stack[n++] = (uint16_t)(at + step->a);
        if (step->op == LINE && at_line_start) p->stack[n++] = (uint16_t)(at + 1);
    }
    return matched;
}

void pattern_start(struct pattern *p, bool at_line_start) {
    p->now.n = 0;
    reach(p, &p->now, 0, at_line_start);
}

bool pattern_step(struct pattern *p, uint8_t byte) {
    struct states *now = &p->now, *next = &p->next;
    bool at_line_start = byte == '\n', matched = false;
    next->n = 0;
    for (size_t i = 0; i < now->n; i++) {
        const struct step *step = p->steps + now->dense[i];
        if (step->op == BYTES && has(step->set, byte))
            matched |= reach(p, next, (size_t)now->dense[i] + 1, at_line_start);
    }
    reach(p, next, 0, at_line_start); /* a match may begin anywhere */
    struct states swap = *now;
    *now = *next;
    *next = swap;
    return matched;
}

/* ---- a pattern ---- */

/* Each step has at most two that follow and is visited once, so the stack has room for two a step. */
static bool make_states(struct compiler *c) {
    struct pattern *p = c->p;
    size_t n = p->n_steps;
    p->numbers = atoll_new(p->alloc, 6 * n, sizeof *p->numbers);
    if (!p->numbers) return fail(c, ATOLL_E_NOMEM, "out of memory");
    p->now = (struct states){p->numbers, p->numbers + n, 0};
    p->next = (struct states){p->numbers + 2 * n, p->numbers + 3 * n, 0};
    p->stack = p->numbers + 4 * n;
    return !reach(p, &p->now, 0, true) ||
           fail(c, ATOLL_E_SYNTAX, "the pattern is found where there is nothing");
}

enum atoll_status pattern_new(const struct atoll_alloc *alloc, const char *text, size_t n, bool literal,
                              bool fold_case, struct pattern **out, struct atoll_error *err) {
    struct pattern *p = atoll_new(alloc, 1, sizeof *p);
    if (!p) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    p->alloc = alloc;
    struct compiler c = {.p = p, .text = text, .n = n, .fold_case = fold_case, .err = err};
    if (compile(&c, literal) && make_states(&c))
        *out = p;
    else
        pattern_free(p);
    return c.status;
}

void pattern_free(struct pattern *p) {
    if (!p) return;
    atoll_free(p->alloc, p->numbers, 6 * p->n_steps * sizeof *p->numbers);
    atoll_free(p->alloc, p->steps, p->cap_steps * sizeof *p->steps);
    atoll_free(p->alloc, p, sizeof *p);
}
