/* cli/terminal.c: see terminal.h. */
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>
#include "cli/terminal.h"

enum { ESCAPE = 1 /* Ctrl-a */ };

static struct termios before;
static volatile sig_atomic_t is_raw;
static bool
    shows_messages; /* standard error is a terminal, too: of the same user's, as far as anybody can tell */
static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

void cli_terminal_restore(void) {
    if (!is_raw) return;
    is_raw = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

/* The handler is gone after this call, so that it strikes again with its default action. */
static void on_signal(int number) {
    cli_terminal_restore();
    raise(number);
}

static void handle(const int *numbers, size_t n) {
    struct sigaction old, action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < n; i++)
        if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
}

bool cli_terminal_raw(bool signals) {
    struct termios raw;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before)) return false;
    raw = before;
    cfmakeraw(&raw);
    handle(deadly, sizeof deadly / sizeof *deadly);
    if (signals) handle(asking, sizeof asking / sizeof *asking);
    shows_messages = isatty(STDERR_FILENO);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)) is_raw = 0;
    return is_raw;
}

const char *cli_terminal_line_end(void) { return is_raw && shows_messages ? "\r\n" : "\n"; }

static void print_keys(const struct cli_keys *keys) {
    dprintf(STDERR_FILENO,
            "\r\n  Ctrl-a x  %s\r\n  Ctrl-a h  this help\r\n  Ctrl-a Ctrl-a  Ctrl-a itself\r\n", keys->quits);
}

size_t cli_keys_filter(struct cli_keys *keys, uint8_t *bytes, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool command = keys->escaped;
        keys->escaped = !command && bytes[i] == ESCAPE;
        if (keys->escaped) continue;
        if (command && bytes[i] == 'x')
            keys->quit(keys->context);
        else if (command && bytes[i] == 'h')
            print_keys(keys);
        else
            bytes[kept++] = bytes[i];
    }
    return kept;
}
