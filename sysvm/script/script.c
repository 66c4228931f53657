/* sysvm/script/script.c: runs a script, see script.h.
 *
 *   output -> alarms -> kept -> what the step at hand waits for -> next step ... */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "sysvm/script/internal.h"

/* ---- ends ---- */

static void end(struct vm_script *s, const struct atoll_error *err) {
    if (s->over) return;
    s->over = true;
    s->deadline_ns = UINT64_MAX;
    s->n_send = 0;
    s->host.done(s->host.context, err);
}

static void fail_at(struct vm_script *s, const struct script_step *step, const char *format, va_list args) {
    struct atoll_error err = {0};
    atoll_vfail(&err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, format, args);
    err.line = step->line, err.column = step->column;
    end(s, &err);
}

void script_fail(struct vm_script *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_at(s, s->steps + (s->at < s->n_steps ? s->at : s->n_steps - 1), format, args);
    va_end(args);
}

static void alarm_fail(struct vm_script *s, const struct script_step *alarm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_at(s, alarm, format, args);
    va_end(args);
}

/* ---- output ---- */

static void look_for_alarms(struct vm_script *s, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s->n_alarms; k++)
            if (pattern_step(s->alarms[k]->pattern, bytes[i])) {
                alarm_fail(s, s->alarms[k], "%s", s->alarms[k]->text);
                return;
            }
}

/* What does not fit any more is lost from its beginning; a step that waits then says so. */
static void keep(struct vm_script *s, const uint8_t *bytes, size_t n) {
    if (n > VM_SCRIPT_KEPT_MAX) {
        s->n_dropped += n - VM_SCRIPT_KEPT_MAX;
        bytes += n - VM_SCRIPT_KEPT_MAX;
        n = VM_SCRIPT_KEPT_MAX;
    }
    if (s->n_kept + n > VM_SCRIPT_KEPT_MAX) {
        size_t lost = s->n_kept + n - VM_SCRIPT_KEPT_MAX;
        s->kept_from += lost;
        s->n_kept -= lost;
        s->n_dropped += lost;
        s->at_line_start = false;
    }
    /* Twice the room, so that bytes move once in a while and not each time. */
    if (s->kept_from + s->n_kept + n > 2 * VM_SCRIPT_KEPT_MAX) {
        memmove(s->kept, s->kept + s->kept_from, s->n_kept);
        s->kept_from = 0;
    }
    memcpy(s->kept + s->kept_from + s->n_kept, bytes, n);
    s->n_kept += n;
}

static enum progress look(struct vm_script *s, const struct script_step *step, uint8_t byte) {
    if (s->wait != WAIT_PATTERN) return shell_look(s, step, byte);
    return pattern_step(step->pattern, byte) ? STEP_DONE : GOES_ON;
}

/* Up to the byte that ends the step: what is behind it is the next one's. */
static enum progress look_at_kept(struct vm_script *s, const struct script_step *step) {
    while (s->n_kept && s->wait != WAIT_NOTHING && !s->over) {
        uint8_t byte = s->kept[s->kept_from++];
        s->n_kept--;
        if (!s->n_kept) s->kept_from = 0;
        s->at_line_start = byte == '\n';
        if (look(s, step, byte) == STEP_DONE) return STEP_DONE;
    }
    return GOES_ON;
}

/* ---- input ---- */

static void flush(struct vm_script *s) {
    if (!s->n_send) return;
    size_t taken = s->host.send(s->host.context, s->send, s->n_send);
    s->send += taken;
    s->n_send -= taken;
}

void script_send(struct vm_script *s, const void *bytes, size_t n) {
    s->send = bytes;
    s->n_send = n;
    flush(s);
}

/* ---- steps ---- */

static enum progress begin_typing(struct vm_script *s, const struct script_step *step) {
    int n = snprintf(s->shell.line, sizeof s->shell.line, "%s%s", step->text, s->host.line_end);
    script_send(s, s->shell.line, (size_t)n);
    return s->n_send ? GOES_ON : STEP_DONE;
}

static enum progress begin_alarm(struct vm_script *s, const struct script_step *step) {
    pattern_start(step->pattern, s->at_line_start);
    for (size_t i = 0; i < s->n_kept; i++)
        if (pattern_step(step->pattern, s->kept[s->kept_from + i])) {
            alarm_fail(s, step, "%s", step->text);
            return GOES_ON;
        }
    s->alarms[s->n_alarms++] = step;
    return STEP_DONE;
}

static enum progress begin(struct vm_script *s, const struct script_step *step) {
    s->deadline_ns = step->timeout_ns > UINT64_MAX - s->now_ns ? UINT64_MAX : s->now_ns + step->timeout_ns;
    s->wait = WAIT_NOTHING;
    switch (step->kind) {
    case STEP_EXPECT:
        s->wait = WAIT_PATTERN;
        pattern_start(step->pattern, s->at_line_start);
        return GOES_ON;
    case STEP_SEND: script_send(s, step->text, step->n); return s->n_send ? GOES_ON : STEP_DONE;
    case STEP_TYPE: return begin_typing(s, step);
    case STEP_RUN:
    case STEP_COPY_IN:
    case STEP_COPY_OUT: return shell_begin(s, step);
    case STEP_POWER_OFF: s->host.act(s->host.context, VM_SCRIPT_POWER_BUTTON); return GOES_ON;
    case STEP_KILL: s->host.act(s->host.context, VM_SCRIPT_KILL); return STEP_DONE;
    case STEP_FAIL: script_fail(s, "%s", step->text); return GOES_ON;
    case STEP_ALARM: return begin_alarm(s, step);
    case STEP_PAUSE:
    case STEP_WAIT_OFF: break;
    }
    return GOES_ON;
}

static enum progress go_on(struct vm_script *s, const struct script_step *step) {
    if (!s->begun) {
        s->begun = true;
        if (begin(s, step) == STEP_DONE) return STEP_DONE;
    }
    if (step->kind == STEP_SEND || step->kind == STEP_TYPE) return s->n_send ? GOES_ON : STEP_DONE;
    return look_at_kept(s, step);
}

/* As many steps as can be. What a host's function calls back meanwhile waits for this one to come to it. */
static void advance(struct vm_script *s) {
    if (s->advancing) return;
    s->advancing = true;
    while (!s->over) {
        if (s->at == s->n_steps)
            end(s, NULL);
        else if (go_on(s, s->steps + s->at) == STEP_DONE)
            s->at++, s->begun = false, s->wait = WAIT_NOTHING, s->deadline_ns = UINT64_MAX;
        else
            break;
    }
    s->advancing = false;
}

/* ---- time ---- */

static void time_is_up(struct vm_script *s, const struct script_step *step) {
    const char *lost = s->n_dropped ? " (more was written than is kept: some of it went unread)" : "";
    double seconds = (double)step->timeout_ns / 1e9;
    switch (step->kind) {
    case STEP_EXPECT: script_fail(s, "%s did not come within %g s%s", step->text, seconds, lost); break;
    case STEP_SEND:
    case STEP_TYPE: script_fail(s, "the guest did not take the input within %g s", seconds); break;
    case STEP_POWER_OFF:
    case STEP_WAIT_OFF: script_fail(s, "the guest was not off within %g s", seconds); break;
    case STEP_RUN: script_fail(s, "\"%s\" did not end within %g s%s", step->text, seconds, lost); break;
    default: script_fail(s, "the copy was not done within %g s%s", seconds, lost); break;
    }
}

void vm_script_tick(struct vm_script *s, uint64_t now_ns) {
    s->now_ns = now_ns;
    if (s->over || !s->begun || now_ns < s->deadline_ns) return;
    const struct script_step *step = s->steps + s->at;
    if (step->kind != STEP_PAUSE) {
        time_is_up(s, step);
        return;
    }
    s->at++, s->begun = false;
    advance(s);
}

uint64_t vm_script_deadline(const struct vm_script *s) { return s->over ? UINT64_MAX : s->deadline_ns; }

/* ---- what happens ---- */

void vm_script_begin(struct vm_script *s, const struct vm_script_host *host, uint64_t now_ns) {
    s->host = *host;
    s->now_ns = now_ns;
    s->deadline_ns = UINT64_MAX;
    s->at_line_start = true;
    advance(s);
}

void vm_script_output(struct vm_script *s, const uint8_t *bytes, size_t n, uint64_t now_ns) {
    s->now_ns = now_ns;
    if (!s->over) look_for_alarms(s, bytes, n);
    if (s->over) return;
    keep(s, bytes, n);
    advance(s);
}

void vm_script_room(struct vm_script *s, uint64_t now_ns) {
    s->now_ns = now_ns;
    if (s->over) return;
    flush(s);
    advance(s);
}

void vm_script_reset(struct vm_script *s) { s->n_send = 0; }

void vm_script_guest_gone(struct vm_script *s, bool off, const char *how) {
    if (s->over) return;
    const struct script_step *step = s->steps + s->at;
    bool awaited = off && s->begun && (step->kind == STEP_POWER_OFF || step->kind == STEP_WAIT_OFF);
    if (awaited && ++s->at == s->n_steps)
        end(s, NULL);
    else
        script_fail(s, "the guest %s before the script came to its end", how);
}

bool vm_script_is_over(const struct vm_script *s) { return s->over; }

/* ---- copies ---- */

static struct script_step *find_copy(const struct vm_script *s, size_t i) {
    for (size_t at = 0; at < s->n_steps; at++)
        if ((s->steps[at].kind == STEP_COPY_IN || s->steps[at].kind == STEP_COPY_OUT) && !i--)
            return s->steps + at;
    return NULL;
}

bool vm_script_copy_at(const struct vm_script *s, size_t i, struct vm_script_copy *out) {
    const struct script_step *step = find_copy(s, i);
    if (!step) return false;
    *out = (struct vm_script_copy){step->host, step->text, step->kind == STEP_COPY_IN, step->line};
    return true;
}

void vm_script_copy_bytes(struct vm_script *s, size_t i, const uint8_t *bytes, size_t n) {
    struct script_step *step = find_copy(s, i);
    step->bytes = bytes, step->n_bytes = n;
}

void vm_script_free(struct vm_script *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n_steps; i++) pattern_free(s->steps[i].pattern);
    shell_free(s);
    atoll_free(s->alloc, s->kept, 2 * VM_SCRIPT_KEPT_MAX);
    atoll_free(s->alloc, s->steps, s->cap_steps * sizeof *s->steps);
    atoll_free(s->alloc, s->text, s->text_bytes);
    atoll_free(s->alloc, s, sizeof *s);
}
