/* sysvm/guest/init/text.c: strings, and what the compiler expects of a C library. */
#include "sysvm/guest/init/sys.h"

void *memcpy(void *to, const void *from, size_t n) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n)::"memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    char *t = to;
    const char *f = from;
    if (t <= f || t >= f + n) {
        memcpy(to, from, n);
        return to;
    }
    while (n--) {
        t[n] = f[n];
        __asm__ volatile("" ::: "memory"); /* or this would become a call of itself */
    }
    return to;
}

void *memset(void *to, int byte, size_t n) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(byte) : "memory");
    return to;
}

size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n]) {
        n++;
        __asm__ volatile("");
    }
    return n;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

const char *text_after(const char *text, const char *prefix) {
    for (; *prefix; text++, prefix++)
        if (*text != *prefix) return NULL;
    return text;
}

void text_add(char *out, size_t room, const char *text) {
    size_t n = strlen(out);
    while (*text && n + 1 < room) out[n++] = *text++;
    out[n] = 0;
}

void text_add_number(char *out, size_t room, long number) {
    char digits[24];
    size_t at = sizeof digits - 1;
    unsigned long rest = number < 0 ? (unsigned long)-number : (unsigned long)number;
    digits[at] = 0;
    do digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) digits[--at] = '-';
    text_add(out, room, digits + at);
}
