/* sysvm/script/shell.c: run and copy, by a POSIX shell at the other end of the console.
 *
 * A command is typed as three lines, so that it does not eat what is typed behind it, and a mistake in its syntax
 * leaves the third as it is:
 *
 *     { COMMAND
 *     } </dev/null
 *     printf '\natoll:%s:%d:\n' N $?       N counts; what the terminal echoes has %s there, the answer N
 *
 * A file goes to the guest in pieces, each a command; one comes as base64 behind "atoll=N=TRAILER:", and nothing is
 * typed before all of it is here, since its echo might come in between. Both are checked by the trailer, checksum and
 * size, that gzip makes for the file: gzip is where cksum is not (Debian's busybox). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sysvm/script/internal.h"

enum { PIECE_BYTES = 360 }; /* 480 characters of base64 */

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* As the trailer of gzip's format has it (RFC 1952, "CRC-32"). */
static uint32_t checksum(const uint8_t *bytes, size_t n) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~crc;
}

/* ---- what is typed ---- */

/* in '...'; each ' becomes '\'' */
static void quote(const char *text, char out[4 * SCRIPT_PATH_MAX + 3]) {
    char *at = out;
    *at++ = '\'';
    for (; *text; text++) {
        if (*text == '\'') memcpy(at, "'\\'", 3), at += 3;
        *at++ = *text;
    }
    memcpy(at, "'", 2);
}

static bool look_for(struct vm_script *s, enum script_wait wait, const char *begins) {
    char mark[32];
    struct shell *sh = &s->shell;
    int n = snprintf(mark, sizeof mark, "%s%u%c", begins, sh->serial, begins[strlen(begins) - 1]);
    pattern_free(sh->mark);
    sh->mark = NULL;
    if (pattern_new(s->alloc, mark, (size_t)n, true, false, &sh->mark, NULL) != ATOLL_OK) {
        script_fail(s, "out of memory");
        return false;
    }
    pattern_start(sh->mark, true);
    sh->n_field = 0;
    s->wait = wait;
    return true;
}

/* `tail` asks for the status and is left out where it would come into the data. */
static void type(struct vm_script *s, bool tail, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void type(struct vm_script *s, bool tail, const char *format, ...) {
    char command[1280];
    const char *eol = s->host.line_end;
    struct shell *sh = &s->shell;
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int n = snprintf(sh->line, sizeof sh->line, "{ %s%s} </dev/null%s", command, eol, eol);
    if (tail)
        n += snprintf(sh->line + n, sizeof sh->line - (size_t)n, "printf '\\natoll:%%s:%%d:\\n' %u $?%s",
                      sh->serial, eol);
    script_send(s, sh->line, (size_t)n);
}

static void type_command(struct vm_script *s, const char *command) {
    s->shell.serial++;
    if (look_for(s, WAIT_MARK, "atoll:")) type(s, true, "%s", command);
}

static size_t encode(const uint8_t *bytes, size_t n, char *out) {
    char *at = out;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16;
        if (i + 1 < n) bits |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < n) bits |= bytes[i + 2];
        for (unsigned k = 0; k < 4; k++) *at++ = i + k > n ? '=' : digits64[bits >> (18 - 6 * k) & 63];
    }
    *at = 0;
    return (size_t)(at - out);
}

/* What gzip puts at the end: checksum and size, little-endian; here as base64. */
enum { TRAILER_CHARACTERS = 12 };
static void trailer_of(const uint8_t *bytes, size_t n, char out[TRAILER_CHARACTERS + 1]) {
    uint32_t crc = checksum(bytes, n);
    uint8_t raw[8];
    for (unsigned i = 0; i < 4; i++) raw[i] = (uint8_t)(crc >> 8 * i), raw[4 + i] = (uint8_t)(n >> 8 * i);
    encode(raw, sizeof raw, out);
}

static void type_piece(struct vm_script *s, const struct script_step *step) {
    struct shell *sh = &s->shell;
    char path[4 * SCRIPT_PATH_MAX + 3], text[PIECE_BYTES / 3 * 4 + 1];
    size_t n = step->n_bytes - sh->copied < PIECE_BYTES ? step->n_bytes - sh->copied : PIECE_BYTES;
    quote(step->text, path);
    sh->serial++;
    if (!look_for(s, WAIT_MARK, "atoll:")) return;
    if (sh->copied == step->n_bytes && sh->n_pieces) {
        sh->checking = true;
        trailer_of(step->bytes, step->n_bytes, text);
        type(s, true, "test \"$(gzip -c < %s | tail -c 8 | base64)\" = '%s'", path, text);
        return;
    }
    encode(step->bytes + sh->copied, n, text);
    type(s, true, "printf %%s '%s' | base64 -d %s %s", text, sh->n_pieces ? ">>" : ">", path);
    sh->copied += n;
    sh->n_pieces++;
}

static void type_copy_out(struct vm_script *s, const struct script_step *step) {
    char path[4 * SCRIPT_PATH_MAX + 3];
    struct shell *sh = &s->shell;
    quote(step->text, path);
    sh->serial++;
    if (!look_for(s, WAIT_DATA_MARK, "atoll=")) return;
    type(s, false, "printf '\\natoll=%%s=%%s:\\n' %u \"$(gzip -c < %s | tail -c 8 | base64)\"; base64 < %s",
         sh->serial, path, path);
}

enum progress shell_begin(struct vm_script *s, const struct script_step *step) {
    struct shell *sh = &s->shell;
    sh->copied = 0;
    sh->n_pieces = 0;
    sh->checking = false;
    if (step->kind == STEP_RUN) type_command(s, step->text);
    if (step->kind == STEP_COPY_IN) type_piece(s, step);
    if (step->kind == STEP_COPY_OUT) type_copy_out(s, step);
    return GOES_ON;
}

/* ---- what comes back ---- */

static enum progress take_status(struct vm_script *s, const struct script_step *step) {
    struct shell *sh = &s->shell;
    int status = atoi(sh->field);
    s->wait = WAIT_NOTHING;
    if (step->kind == STEP_RUN) {
        if (!status) return STEP_DONE;
        script_fail(s, "\"%s\" ended with status %d", step->text, status);
    } else if (status && sh->checking) {
        script_fail(s, "the copy is not what was sent (checksum)");
    } else if (status) {
        script_fail(s, "the guest cannot take the copy (status %d of: base64 -d > %s)", status, step->text);
    } else if (sh->checking) {
        return STEP_DONE;
    } else {
        type_piece(s, step);
    }
    return GOES_ON;
}

static int digit64(uint8_t byte) {
    const char *found = byte ? strchr(digits64, byte) : NULL;
    return found ? (int)(found - digits64) : -1;
}

/* False when the guest sent something else. */
static bool read_trailer(struct shell *sh) {
    uint64_t bits = 0;
    for (size_t i = 0; i < TRAILER_CHARACTERS - 1; i++) {
        int d = i < sh->n_field ? digit64((uint8_t)sh->field[i]) : -1;
        if (d < 0) return false;
        if (i < 10) bits = bits << 6 | (unsigned)d;
        if (i == 10) bits = bits << 4 | (unsigned)d >> 2;
    }
    uint64_t raw = __builtin_bswap64(bits);
    sh->sum = (uint32_t)raw;
    sh->n_expected = (size_t)(raw >> 32);
    return sh->n_field == TRAILER_CHARACTERS;
}

/* Nothing: there is no such file. */
static enum progress take_trailer(struct vm_script *s, const struct script_step *step) {
    struct shell *sh = &s->shell;
    s->wait = WAIT_NOTHING;
    if (!read_trailer(sh)) {
        script_fail(s, "%s cannot be read in the guest, or there is no gzip, tail or base64", step->text);
    } else if (sh->n_expected > VM_SCRIPT_COPY_MAX) {
        script_fail(s, "%s has %zu bytes; a copy has at most %zu", step->text, sh->n_expected,
                    VM_SCRIPT_COPY_MAX);
    } else {
        atoll_free(s->alloc, sh->data, sh->size);
        sh->size = sh->n_expected;
        sh->n_data = 0;
        sh->bits = sh->n_bits = 0;
        sh->data = sh->size ? atoll_new(s->alloc, 1, sh->size) : NULL;
        if (sh->size && !sh->data) script_fail(s, "out of memory");
        s->wait = WAIT_DATA;
    }
    return GOES_ON;
}

static enum progress end_copy_out(struct vm_script *s, const struct script_step *step) {
    struct shell *sh = &s->shell;
    struct vm_script_copy copy;
    size_t i = 0;
    s->wait = WAIT_NOTHING;
    if (checksum(sh->data, sh->size) != sh->sum) {
        script_fail(s, "the copy is not what was sent (checksum): does something else write on the console?");
        return GOES_ON;
    }
    while (vm_script_copy_at(s, i, &copy) && (copy.line != step->line || copy.guest != step->text)) i++;
    if (s->host.save(s->host.context, i, sh->data, sh->size)) return STEP_DONE;
    script_fail(s, "%s: %s", step->host, strerror(errno));
    return GOES_ON;
}

static enum progress take_digit(struct vm_script *s, const struct script_step *step, uint8_t byte) {
    struct shell *sh = &s->shell;
    int digit = digit64(byte);
    if (byte == '\r' || byte == '\n' || byte == '=') {
        /* The line's end behind "=" or the last digit: then nothing of it comes into the next command's way. */
        return byte == '\n' && sh->n_data == sh->size ? end_copy_out(s, step) : GOES_ON;
    }
    if (digit < 0 || sh->n_data == sh->size) {
        script_fail(s, "something else is written on the console between the copy's lines");
        return GOES_ON;
    }
    sh->bits = sh->bits << 6 | (uint32_t)digit;
    sh->n_bits += 6;
    if (sh->n_bits < 8) return GOES_ON;
    sh->n_bits -= 8;
    sh->data[sh->n_data++] = (uint8_t)(sh->bits >> sh->n_bits);
    return GOES_ON;
}

/* Up to ":". What is longer or made of something else is not the answer: it is waited for again. */
static enum progress take_field(struct vm_script *s, const struct script_step *step, uint8_t byte) {
    struct shell *sh = &s->shell;
    bool status = s->wait == WAIT_STATUS;
    if (byte == ':') {
        sh->field[sh->n_field] = 0;
        return status ? take_status(s, step) : take_trailer(s, step);
    }
    bool fits = status ? byte >= '0' && byte <= '9' : digit64(byte) >= 0 || byte == '=';
    if (fits && sh->n_field < (status ? 3 : TRAILER_CHARACTERS)) {
        sh->field[sh->n_field++] = (char)byte;
        return GOES_ON;
    }
    sh->n_field = 0;
    pattern_start(sh->mark, true);
    s->wait = status ? WAIT_MARK : WAIT_DATA_MARK;
    return GOES_ON;
}

enum progress shell_look(struct vm_script *s, const struct script_step *step, uint8_t byte) {
    switch (s->wait) {
    case WAIT_STATUS:
    case WAIT_TRAILER: return take_field(s, step, byte);
    case WAIT_DATA: return take_digit(s, step, byte);
    default:
        if (pattern_step(s->shell.mark, byte)) s->wait = s->wait == WAIT_MARK ? WAIT_STATUS : WAIT_TRAILER;
        return GOES_ON;
    }
}

void shell_free(struct vm_script *s) {
    pattern_free(s->shell.mark);
    atoll_free(s->alloc, s->shell.data, s->shell.size);
}
