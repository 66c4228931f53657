/* sysvm/script/parse.c: the text of a script, a line a step. Strings come to stand in one block, each with a zero byte:
 * none is longer than it is in the text, quotes included. */
#include <string.h>
#include "sysvm/script/internal.h"

#define DEFAULT_TIMEOUT_NS (UINT64_C(60) * 1000000000)

struct reader {
    struct vm_script *script;
    const char *at, *end, *line_start;
    uint32_t line;
    char *out;           /* where the next string goes */
    uint64_t timeout_ns; /* of the next steps */
    size_t n_alarms;
    bool (*parse_duration)(const char *text, uint64_t *out_ns);
    struct atoll_error *err;
    enum atoll_status status;
};

static bool fail_with(struct reader *r, enum atoll_status code, const char *at, const char *text) {
    if (r->status != ATOLL_OK) return false;
    r->status = atoll_fail(r->err, code, ATOLL_NO_OFFSET, "%s", text);
    if (r->err) r->err->line = r->line, r->err->column = (uint32_t)(at - r->line_start) + 1;
    return false;
}
static bool fail(struct reader *r, const char *text) { return fail_with(r, ATOLL_E_SYNTAX, r->at, text); }

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool at_line_end(const struct reader *r) { return r->at == r->end || *r->at == '\n' || *r->at == '#'; }
static void skip_blanks(struct reader *r) {
    while (r->at < r->end && is_blank(*r->at)) r->at++;
}

/* ---- words and strings ---- */

static bool word_is(const char *from, const char *to, const char *word) {
    return (size_t)(to - from) == strlen(word) && memcmp(from, word, strlen(word)) == 0;
}

/* The word at hand, if it is this one. */
static bool take_word(struct reader *r, const char *word) {
    const char *to = r->at;
    while (to < r->end && !is_blank(*to) && *to != '\n') to++;
    if (!word_is(r->at, to, word)) return false;
    r->at = to;
    skip_blanks(r);
    return true;
}

static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_escape(struct reader *r) {
    static const char from[] = "\"\\rnte", to[] = "\"\\\r\n\t\x1b";
    if (r->at == r->end) return fail(r, "a string has no end");
    char c = *r->at++;
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        *r->out++ = to[found - from];
        return true;
    }
    int high = c == 'x' && r->end - r->at >= 2 ? digit(r->at[0]) : -1;
    int low = high >= 0 ? digit(r->at[1]) : -1;
    if (low < 0) return fail_with(r, ATOLL_E_SYNTAX, r->at - 1, "an escape that no string has");
    *r->out++ = (char)(high << 4 | low);
    r->at += 2;
    return true;
}

static bool take_string(struct reader *r, const char **out, size_t *out_n) {
    const char *start = r->at;
    if (r->at == r->end || *r->at != '"') return fail(r, "a \"string\" is expected");
    *out = r->out;
    for (r->at++; r->at < r->end && *r->at != '"' && *r->at != '\n';) {
        char c = *r->at++;
        if (c != '\\')
            *r->out++ = c;
        else if (!take_escape(r))
            return false;
    }
    if (r->at == r->end || *r->at == '\n')
        return fail_with(r, ATOLL_E_SYNTAX, start, "a string has no end on its line");
    r->at++;
    *out_n = (size_t)(r->out - *out);
    *r->out++ = 0;
    skip_blanks(r);
    return true;
}

/* A string without zero bytes, ends of lines and other control characters: what is typed, a file's name. */
static bool take_plain(struct reader *r, const char **out, size_t *out_n, size_t max, const char *too_long) {
    const char *start = r->at;
    if (!take_string(r, out, out_n)) return false;
    for (size_t i = 0; i < *out_n; i++)
        if ((uint8_t)(*out)[i] < 0x20 || (*out)[i] == 0x7F)
            return fail_with(r, ATOLL_E_SYNTAX, start, "there is a control character in this");
    if (!*out_n) return fail_with(r, ATOLL_E_SYNTAX, start, "this is empty");
    return *out_n <= max || fail_with(r, ATOLL_E_LIMIT, start, too_long);
}

/* "text" or /expression/ or /expression/i */
static bool take_pattern(struct reader *r, struct pattern **out) {
    const char *text, *start = r->at;
    size_t n;
    struct atoll_error err = {0};
    bool literal = r->at == r->end || *r->at != '/', fold_case = false;
    if (literal) {
        if (!take_string(r, &text, &n)) return false;
    } else {
        for (text = ++r->at; r->at < r->end && *r->at != '/' && *r->at != '\n'; r->at++)
            if (*r->at == '\\' && r->end - r->at > 1 && r->at[1] != '\n') r->at++;
        if (r->at == r->end || *r->at == '\n')
            return fail_with(r, ATOLL_E_SYNTAX, start, "an expression has no \"/\" at its end");
        n = (size_t)(r->at++ - text);
        if (r->at < r->end && *r->at == 'i') fold_case = true, r->at++;
    }
    enum atoll_status status = pattern_new(r->script->alloc, text, n, literal, fold_case, out, &err);
    if (status != ATOLL_OK)
        return fail_with(r, status, err.column && !literal ? start + err.column : start, err.text);
    skip_blanks(r);
    return true;
}

/* A time, if there is one. */
static bool take_time(struct reader *r, uint64_t *out) {
    char text[32];
    size_t n = 0;
    if (at_line_end(r)) return true;
    const char *start = r->at;
    while (r->at < r->end && !is_blank(*r->at) && *r->at != '\n' && n < sizeof text - 1) text[n++] = *r->at++;
    text[n] = 0;
    if (memchr(text, 0, n) || !r->parse_duration(text, out) || !*out)
        return fail_with(r, ATOLL_E_SYNTAX, start,
                         "a time is expected (500ms, 2s, 1.5m), or the end of the line");
    skip_blanks(r);
    return true;
}

/* ---- steps ---- */

static bool take_expect(struct reader *r, struct script_step *step) {
    const char *start = r->at;
    if (!take_pattern(r, &step->pattern)) return false;
    size_t n = (size_t)(r->at - start);
    while (n && is_blank(start[n - 1])) n--;
    step->text = r->out; /* as it is written */
    memcpy(r->out, start, n);
    r->out += n;
    *r->out++ = 0;
    return take_time(r, &step->timeout_ns);
}

static bool take_send(struct reader *r, struct script_step *step) {
    return take_string(r, &step->text, &step->n) && take_time(r, &step->timeout_ns);
}

static bool take_type(struct reader *r, struct script_step *step) {
    const char *start = r->at;
    if (!take_string(r, &step->text, &step->n)) return false;
    if (memchr(step->text, 0, step->n))
        return fail_with(r, ATOLL_E_SYNTAX, start, "there is a zero byte in this");
    if (step->n > SCRIPT_COMMAND_MAX)
        return fail_with(r, ATOLL_E_LIMIT, start, "a line has at most 900 bytes");
    return take_time(r, &step->timeout_ns);
}

static bool take_run(struct reader *r, struct script_step *step) {
    return take_plain(r, &step->text, &step->n, SCRIPT_COMMAND_MAX, "a command has at most 900 bytes") &&
           take_time(r, &step->timeout_ns);
}

static bool take_copy(struct reader *r, struct script_step *step) {
    static const char guest_long[] = "a name in the guest has at most 100 bytes";
    size_t n_host;
    bool in = step->kind == STEP_COPY_IN;
    if (!in && !take_plain(r, &step->text, &step->n, SCRIPT_PATH_MAX, guest_long)) return false;
    if (!take_plain(r, &step->host, &n_host, 4095, "a name has at most 4095 bytes")) return false;
    if (in && !take_plain(r, &step->text, &step->n, SCRIPT_PATH_MAX, guest_long)) return false;
    return take_time(r, &step->timeout_ns);
}

static bool take_pause(struct reader *r, struct script_step *step) {
    if (at_line_end(r)) return fail(r, "a time is expected");
    return take_time(r, &step->timeout_ns);
}

static bool take_off(struct reader *r, struct script_step *step) {
    if (!take_word(r, "off")) return fail(r, "\"off\" is expected");
    return take_time(r, &step->timeout_ns);
}

static bool take_nothing(struct reader *r, struct script_step *step) {
    (void)r, (void)step;
    return true;
}

/* fail "message" [when PATTERN] */
static bool take_fail(struct reader *r, struct script_step *step) {
    if (!take_plain(r, &step->text, &step->n, 500, "a message has at most 500 bytes")) return false;
    if (!take_word(r, "when")) return true;
    step->kind = STEP_ALARM;
    if (r->n_alarms++ == VM_SCRIPT_ALARMS_MAX)
        return fail_with(r, ATOLL_E_LIMIT, r->at, "there are at most 16 \"fail ... when\"");
    return take_pattern(r, &step->pattern);
}

static const struct {
    const char *word;
    enum step_kind kind;
    bool (*take)(struct reader *r, struct script_step *step);
} rows[] = {{"expect", STEP_EXPECT, take_expect}, {"send", STEP_SEND, take_send},
            {"type", STEP_TYPE, take_type},       {"run", STEP_RUN, take_run},
            {"copy-in", STEP_COPY_IN, take_copy}, {"copy-out", STEP_COPY_OUT, take_copy},
            {"pause", STEP_PAUSE, take_pause},    {"power", STEP_POWER_OFF, take_off},
            {"wait", STEP_WAIT_OFF, take_off},    {"kill", STEP_KILL, take_nothing},
            {"fail", STEP_FAIL, take_fail}};

static bool add_step(struct reader *r, struct script_step **out) {
    struct vm_script *s = r->script;
    if (s->n_steps == VM_SCRIPT_STEPS_MAX)
        return fail_with(r, ATOLL_E_LIMIT, r->at, "a script has at most 4096 steps");
    if (atoll_grow(s->alloc, (void **)&s->steps, &s->cap_steps, s->n_steps + 1, sizeof *s->steps))
        return fail_with(r, ATOLL_E_NOMEM, r->at, "out of memory");
    *out = s->steps + s->n_steps++;
    return true;
}

static bool take_step(struct reader *r) {
    struct script_step *step;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t column = (uint32_t)(r->at - r->line_start) + 1;
        if (!take_word(r, rows[i].word)) continue;
        if (!add_step(r, &step)) return false;
        *step = (struct script_step){
            .kind = rows[i].kind, .line = r->line, .column = column, .timeout_ns = r->timeout_ns};
        return rows[i].take(r, step);
    }
    return fail(
        r, "no step begins so: expect, send, type, run, copy-in, copy-out, pause, power off, wait off, kill, "
           "fail or timeout");
}

static bool take_line(struct reader *r) {
    skip_blanks(r);
    if (!at_line_end(r)) {
        if (!take_word(r, "timeout")) {
            if (!take_step(r)) return false;
        } else if (at_line_end(r)) {
            return fail(r, "a time is expected");
        } else if (!take_time(r, &r->timeout_ns)) {
            return false;
        }
        if (!at_line_end(r)) return fail(r, "the end of the line is expected");
    }
    while (r->at < r->end && *r->at != '\n') r->at++;
    if (r->at < r->end) r->at++;
    r->line++;
    r->line_start = r->at;
    return true;
}

static bool take_all(struct reader *r) {
    while (r->at < r->end)
        if (!take_line(r)) return false;
    return r->script->n_steps || fail(r, "there is no step in this script");
}

enum atoll_status vm_script_parse(const struct atoll_alloc *alloc, const struct vm_script_text *text,
                                  bool (*parse_duration)(const char *text, uint64_t *out_ns),
                                  struct vm_script **out, struct atoll_error *err) {
    if (text->n > VM_SCRIPT_BYTES_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %zu bytes", VM_SCRIPT_BYTES_MAX);
    struct vm_script *s = atoll_new(alloc, 1, sizeof *s);
    if (!s) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    s->alloc = alloc;
    s->text_bytes = 2 * text->n + 1; /* an expected string stands here as it is written, too */
    s->text = atoll_new(alloc, 1, s->text_bytes);
    s->kept = atoll_new(alloc, 2, VM_SCRIPT_KEPT_MAX);
    struct reader r = {.script = s,
                       .at = text->bytes,
                       .end = text->bytes + text->n,
                       .line_start = text->bytes,
                       .line = text->first_line,
                       .out = s->text,
                       .timeout_ns = DEFAULT_TIMEOUT_NS,
                       .parse_duration = parse_duration,
                       .err = err};
    if (!s->text || !s->kept)
        fail_with(&r, ATOLL_E_NOMEM, r.at, "out of memory");
    else if (take_all(&r))
        *out = s;
    if (r.status != ATOLL_OK) vm_script_free(s);
    return r.status;
}
