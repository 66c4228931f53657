/* cli/messages.c: the lines a user reads when something went wrong. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/terminal.h"

size_t cli_utf8_size(const char *text) {
    for (size_t n = 1; n <= 4 && text[n - 1]; n++)
        if (bc_utf8_valid((const uint8_t *)text, n)) return n;
    return 0;
}

bool cli_json_write(FILE *out, const char *text, size_t max) {
    bool replaced = false;
    putc('"', out);
    for (const char *end = text + strnlen(text, max); text < end;) {
        size_t size = cli_utf8_size(text);
        unsigned char first = (unsigned char)*text;
        if (!size) {
            fputs("\\ufffd", out);
            replaced = true;
        } else if (first == '"' || first == '\\') {
            fprintf(out, "\\%c", first);
        } else if (first < 0x20 || first == 0x7F) {
            fprintf(out, "\\u%04x", first);
        } else {
            fwrite(text, 1, size, out);
        }
        text += size ? size : 1;
    }
    putc('"', out);
    return replaced;
}

bool cli_json_string(const char *text) { return cli_json_write(stdout, text, SIZE_MAX); }

/* What moves the cursor or is no text: C0, DEL, C1 and bytes that are no UTF-8. */
static bool drives_terminal(const char *at, size_t size) {
    const unsigned char *c = (const unsigned char *)at;
    return !size || c[0] < 0x20 || c[0] == 0x7F || (c[0] == 0xC2 && c[1] < 0xA0);
}

/* Such bytes become \xx: a file name or a module must not drive the terminal. */
static size_t escape(const char *text, char *out, size_t room) {
    size_t n = 0;
    while (*text && n + 12 < room) {
        size_t size = cli_utf8_size(text);
        bool plain = !drives_terminal(text, size);
        for (size_t i = 0; i < (size ? size : 1); i++, text++) {
            if (plain)
                out[n++] = *text;
            else
                n += (size_t)snprintf(out + n, 4, "\\%02x", (unsigned char)*text);
        }
    }
    return n;
}

static void print_line(const char *text) {
    char line[4096] = "atoll: ";
    size_t n = 7 + escape(text, line + 7, sizeof line - 9);
    for (const char *end = cli_terminal_line_end(); *end; end++) line[n++] = *end;
    fflush(stdout);
    while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR) continue;
}

/* A line too long, by a file name mostly, is cut in its middle: the end says what is wrong. */
static void cut(char *text) {
    enum { LONGEST = 1000, HEAD = 300 };
    size_t size = strlen(text);
    if (size <= LONGEST) return;
    const char *tail = text + size - (LONGEST - HEAD - 3);
    memcpy(text + HEAD, "...", 3);
    memmove(text + HEAD + 3, tail, strlen(tail) + 1);
}

void cli_message(const char *format, ...) {
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        print_line("out of memory");
        return;
    }
    cut(text);
    print_line(text);
    free(text);
}

const char *cli_file_name(const char *path) { return strcmp(path, "-") == 0 ? "<stdin>" : path; }

void cli_error(const char *file, const struct atoll_error *err) {
    file = cli_file_name(file);
    if (err->line)
        cli_message("%s:%u:%u: %s", file, err->line, err->column, err->text);
    else if (err->offset != ATOLL_NO_OFFSET)
        cli_message("%s:0x%llx: %s", file, (unsigned long long)err->offset, err->text);
    else
        cli_message("%s: %s", file, err->text);
}

int cli_input_failed(const char *file, const struct atoll_error *err) {
    cli_error(file, err);
    return err->code == ATOLL_E_NOMEM ? CLI_INTERNAL : CLI_FAILED;
}

int cli_finish(int status) {
    int error = fflush(stdout) ? errno : 0;
    if (!error) return status;
    if (error != EPIPE) cli_message("standard output: %s", strerror(error));
    return CLI_INTERNAL;
}
