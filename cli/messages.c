/* cli/messages.c: the lines a user reads when something went wrong. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"

/* Control bytes become \xx: a file name or a module must not drive the terminal. */
static size_t escape(const char *text, char *out, size_t size) {
    size_t n = 0;
    for (; *text && n + 5 < size; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= 0x20 && byte != 0x7f)
            out[n++] = *text;
        else
            n += (size_t)snprintf(out + n, 4, "\\%02x", byte);
    }
    return n;
}

static void print_line(const char *text) {
    char line[2048] = "atoll: ";
    size_t n = 7 + escape(text, line + 7, sizeof line - 8);
    line[n++] = '\n';
    fflush(stdout);
    while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR) continue;
}

void cli_message(const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_line(text);
}

void cli_error(const char *file, const struct atoll_error *err) {
    if (strcmp(file, "-") == 0) file = "<stdin>";
    if (err->line)
        cli_message("%s:%u:%u: %s", file, err->line, err->column, err->text);
    else if (err->offset != ATOLL_NO_OFFSET)
        cli_message("%s:0x%llx: %s", file, (unsigned long long)err->offset, err->text);
    else
        cli_message("%s: %s", file, err->text);
}

int cli_finish(int status) {
    int error = fflush(stdout) ? errno : 0;
    if (!error) return status;
    if (error != EPIPE) cli_message("standard output: %s", strerror(error));
    return status ? status : CLI_FAILED;
}
