/* tests/sysvm/boot/tiny_kernel.c: a kernel of a few lines for tests of `atoll boot`: it says hello on the serial
 * port and does what its command line's first word says. Slow processors are enough for it. */
#include <stdint.h>

#define SERIAL 0x3F8

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint16_t in16(uint16_t port) {
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void say(const char *text) {
    for (; *text; text++) {
        while (!(in8(SERIAL + 5) & 0x20)) continue; /* the transmitter is busy */
        out8(SERIAL, (uint8_t)*text);
    }
}

static char hear(void) {
    while (!(in8(SERIAL + 5) & 1)) continue;
    return (char)in8(SERIAL);
}

static int is(const char *line, const char *word) {
    while (*word && *line == *word) line++, word++;
    return !*word && (*line == ' ' || !*line);
}

static void echo(void) {
    char text[2] = "";
    do say((text[0] = hear(), text));
    while (text[0] != 'q' && text[0] != '\n');
}

/* A line up to \r, echoed as terminals do; of a text that is too long, the rest is not kept. */
static void ask(const char *prompt, char *out, int room) {
    char text[2] = "";
    int n = 0;
    say(prompt);
    for (; (text[0] = hear()) != '\r'; say(text))
        if (n < room - 1) out[n++] = text[0];
    out[n] = 0;
    say("\r\n");
}

static void login(void) {
    char name[16];
    ask("\x1b[2Jlogin: ", name, sizeof name);
    say("hello, ");
    say(name);
    say("\r\n# ");
}

/* What a shell says to the first copy-out of a script: a file with ABC in it. */
static void copy(void) {
    for (int lines = 0; lines < 2;)
        if (hear() == '\r') lines++;
    say("\r\natoll=1=SAODowMAAAA=:\r\nQUJD\r\n");
}

/* ACPI's fixed power button. */
static void wait_for_button(void) {
    while (!(in16(0x600) & 1 << 8)) continue;
    say("tiny: button\n");
}

static void flood(void) {
    for (int i = 0; i < 2000; i++) say("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n");
}

__attribute__((used)) static void begin(const uint8_t *params) {
    const char *line = (const char *)(uintptr_t) * (const uint32_t *)(params + 0x228);
    say("tiny: ");
    say(line);
    say("\n");
    if (is(line, "echo")) echo();
    if (is(line, "flood")) flood();
    if (is(line, "login") || is(line, "login-reset")) login();
    if (is(line, "copy")) copy();
    if (is(line, "login-reset")) out8(0xCF9, 6);
    if (is(line, "login") || is(line, "button")) wait_for_button();
    if (is(line, "panic")) {
        say("[    1.0] Kernel panic - not syncing: just so\n[    1.0] Call Trace:\n");
        say("[    1.0] ---[ end Kernel panic - not syncing: just so ]---\n");
    }
    if (is(line, "old-panic")) { /* as a program writes it, whose bytes are asked for by interrupts */
        out8(SERIAL + 1, 2);
        say("[    1.0] ---[ end Kernel panic - not syncing: long ago ]---\n");
        out8(SERIAL + 1, 0);
    }
    if (is(line, "panic-reset")) say("[    1.0] Kernel panic - not syncing: and again\n");
    if (is(line, "reset") || is(line, "panic-reset")) out8(0xCF9, 6);
    if (is(line, "fault")) __asm__ volatile("ud2");
    if (is(line, "hang") || is(line, "panic"))
        for (;;) __asm__ volatile("pause");
    if (is(line, "halt")) __asm__ volatile("cli; 1: hlt; jmp 1b");
    out16(0x604, 5 << 10 | 1 << 13); /* ACPI: S5 */
    for (;;) continue;
}

/* Linux' 64-bit entry: rsi holds the boot parameters. */
__asm__(".globl _start\n_start: mov %rsi, %rdi\n call begin\n hlt");
