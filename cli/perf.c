/* cli/perf.c: what is named: functions of programs, blocks of guests; and where to: perf's map file, native_gdb.c. Both
 * belong to the process, hence the statics, and are told by whichever thread makes code. */
#include "cli/perf.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sysvm/layout.h"

#define NAME_BYTES 128

/* ---- perf ---- */

static int map = -1;

/* source  Linux, tools/perf/Documentation/jit-interface.txt */
bool perf_open(const char **why) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    unlink(path); /* of a process that had our number */
    map = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0644);
    *why = map < 0 ? strerror(errno) : NULL;
    return map >= 0;
}

void perf_close(void) {
    if (map >= 0) close(map);
    map = -1;
}

static void tell_perf(const struct native_name *name) {
    if (map >= 0) dprintf(map, "%" PRIxPTR " %zx %s\n", (uintptr_t)name->code, name->n_bytes, name->text);
}

/* ---- functions of programs ---- */

/* "wasm:NAME", letters that would break a line of the map replaced. */
static void name_of(struct rt_module *module, uint32_t func, bool loop, char out[NAME_BYTES]) {
    struct bc_name name = rt_module_func_name(module, func);
    int most = name.size < 100 ? (int)name.size : 100;
    const char *suffix = loop ? " (loop)" : "";
    if (name.size)
        snprintf(out, NAME_BYTES, "wasm:%.*s%s", most, name.bytes, suffix);
    else
        snprintf(out, NAME_BYTES, "wasm:func[%" PRIu32 "]%s", func, suffix);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
}

void perf_code_placed(struct rt_module *module, uint32_t func, bool loop, const void *code, size_t n_bytes) {
    char text[NAME_BYTES];
    const struct native_name name = {code, n_bytes, text};
    name_of(module, func, loop, text);
    tell_perf(&name);
    if (native_gdb_is_open()) native_gdb_tell(0, &name, 1);
}

/* ---- blocks of guests ---- */

/* A debugger takes some time for each file, and a kernel that boots has ten thousands of blocks: many go together. */
enum { PENDING_MAX = 256, GUEST_NAME_BYTES = 32 };
struct pending {
    size_t n;
    struct native_name names[PENDING_MAX];
    char texts[PENDING_MAX][GUEST_NAME_BYTES];
};
static struct pending *pending[VM_CPUS_MAX]; /* each of its processor's thread; made when it is needed */

static unsigned owner_of(unsigned cpu) { return cpu + 1; }

static void keep_for_gdb(unsigned cpu, const struct native_name *name, bool at_once) {
    if (!pending[cpu]) pending[cpu] = calloc(1, sizeof *pending[cpu]);
    struct pending *p = pending[cpu];
    if (!p) return;
    p->names[p->n] = *name;
    p->names[p->n].text = strcpy(p->texts[p->n], name->text);
    if (++p->n < PENDING_MAX && !at_once) return;
    native_gdb_tell(owner_of(cpu), p->names, p->n);
    p->n = 0;
}

static void guest_code_placed(void *context, const struct vm_code *code) {
    char text[GUEST_NAME_BYTES] = "guest:entry";
    const struct native_name name = {code->start, code->n_bytes, text};
    (void)context;
    if (!code->is_common)
        snprintf(text, sizeof text, "guest:%s:%" PRIx64, code->is_user ? "user" : "kernel", code->linear);
    tell_perf(&name);
    if (native_gdb_is_open()) keep_for_gdb(code->cpu, &name, code->is_common);
}

static void guest_code_gone(void *context, unsigned cpu) {
    (void)context;
    free(pending[cpu]);
    pending[cpu] = NULL;
    if (native_gdb_is_open()) native_gdb_forget(owner_of(cpu));
}

struct vm_code_listener perf_guest_listener(void) {
    return (struct vm_code_listener){.placed = guest_code_placed, .gone = guest_code_gone};
}
