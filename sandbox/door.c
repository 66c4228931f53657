/* sandbox/door.c: every request of a program passes here: decided, then traced with its answer. */
#include <stdio.h>
#include "sandbox/internal.h"

enum effect { READS, WRITES };

static const struct kind_info {
    const char *word;
    enum effect effect;
    const char *labels[2];
} kinds[SB_KIND_COUNT] = {
#define X(id, word, effect, label0, label1) {word, effect, {label0, label1}},
    SB_KIND_LIST(X)
#undef X
};

const char *sb_kind_word(enum sb_kind kind) {
    return (unsigned)kind < SB_KIND_COUNT ? kinds[kind].word : "?";
}

/* ---- the trace line ---- */

#define LINE_BYTES     1024
#define NAME_BYTES_MAX 160 /* of an untrusted name; the rest is cut */

struct line {
    char text[LINE_BYTES];
    size_t size;
};

static void put_text(struct line *line, const char *text) {
    for (; *text && line->size < LINE_BYTES - 1; text++) line->text[line->size++] = *text;
    line->text[line->size] = 0;
}

static void put_number(struct line *line, uint64_t number) {
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    put_text(line, digits);
}

static void put_name(struct line *line, const char *bytes, size_t size) {
    put_text(line, " \"");
    for (size_t i = 0; i < size && i < NAME_BYTES_MAX; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char text[5] = {(char)c, 0};
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') snprintf(text, sizeof text, "\\%02x", c);
        put_text(line, text);
    }
    put_text(line, size > NAME_BYTES_MAX ? "...\"" : "\"");
}

static void put_open_flags(struct line *line, uint64_t flags) {
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {SB_OPEN_READ, "read"},           {SB_OPEN_WRITE, "write"},       {SB_OPEN_CREATE, "create"},
        {SB_OPEN_EXCLUSIVE, "exclusive"}, {SB_OPEN_TRUNCATE, "truncate"}, {SB_OPEN_DIRECTORY, "directory"},
        {SB_OPEN_NOFOLLOW, "nofollow"},   {SB_OPEN_APPEND, "append"},     {SB_OPEN_NONBLOCK, "nonblock"},
        {SB_OPEN_SYNC, "sync"},           {SB_OPEN_DSYNC, "dsync"},       {SB_OPEN_RSYNC, "rsync"},
        {SB_OPEN_DIRECT, "direct"}};
    const char *separator = "";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!(flags & words[i].bit)) continue;
        put_text(line, separator);
        put_text(line, words[i].word);
        separator = ",";
    }
}

static void put_request(struct line *line, const struct sb_request *r) {
    const struct kind_info *kind = &kinds[r->kind];
    put_text(line, kind->word);
    if (r->file) put_name(line, r->file->name, r->file->name_size);
    if (r->name) put_name(line, r->name, r->name_size);
    if (r->file2) put_name(line, r->file2->name, r->file2->name_size);
    if (r->name2) put_name(line, r->name2, r->name2_size);
    if (r->address) {
        char text[SB_ADDRESS_TEXT];
        sb_address_text(r->address, text);
        put_name(line, text, strlen(text));
    }
    for (unsigned i = 0; i < 2; i++) {
        if (!kind->labels[i] || r->numbers[i] == SB_ABSENT) continue;
        put_text(line, " ");
        put_text(line, kind->labels[i]);
        put_text(line, "=");
        if (r->kind == SB_FS_OPEN || r->kind == SB_FS_SET_FLAGS || r->kind == SB_DISK_OPEN)
            put_open_flags(line, r->numbers[i]);
        else
            put_number(line, r->numbers[i]);
    }
}

static void trace(struct sandbox *sb, const struct sb_request *r, const char *word, int error,
                  uint64_t value) {
    struct line line = {.size = 0};
    put_request(&line, r);
    put_text(&line, word);
    if (error) {
        const char *name = strerrorname_np(error);
        put_text(&line, name ? name : "error");
    } else if (value == SB_ABSENT) {
        put_text(&line, "ok");
    } else {
        put_number(&line, value);
    }
    sb->config.trace(sb->config.trace_context, line.text);
}

/* ---- the decision ---- */

static bool changes(const struct sb_request *r) {
    if (r->kind == SB_FS_OPEN) return r->numbers[0] & (SB_OPEN_WRITE | SB_OPEN_CREATE | SB_OPEN_TRUNCATE);
    return kinds[r->kind].effect == WRITES;
}

static int decide(struct sandbox *sb, const struct sb_request *r) {
    bool first_is_read = r->kind == SB_FS_COPY; /* only its second file changes */
    if ((r->file && r->file->readonly && !first_is_read) || (r->file2 && r->file2->readonly))
        if (changes(r)) return EROFS;
    if (r->kind == SB_NET_CONNECT || r->kind == SB_NET_RESOLVE) return sb_rules_decide(sb, r);
    if (r->kind == SB_DISK_OPEN || r->kind == SB_DISK_REMOVE) return sb_disk_decide(sb, r);
    /* numbers[0] = bytes: an empty write needs no room */
    uint64_t max = sb->config.max_output_bytes;
    bool writes =
        (r->kind == SB_FS_WRITE || r->kind == SB_FS_COPY || r->kind == SB_NET_SEND) && r->numbers[0] > 0;
    if (!writes || !max || sb->output_bytes < max) return 0;
    sb->output_exceeded = true;
    return ENOSPC;
}

int sb_ask(struct sandbox *sb, const struct sb_request *request) {
    int error = decide(sb, request);
    if (error && sb->config.trace) trace(sb, request, " = denied ", error, SB_ABSENT);
    return error;
}

int sb_answer(struct sandbox *sb, const struct sb_request *request, int error, uint64_t value) {
    if (sb->config.trace) trace(sb, request, " = ", error, value);
    return error;
}
