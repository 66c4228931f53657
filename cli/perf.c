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

/* "wasm:NAME" or, of thunks, "atoll:NAME"; letters that would break a line of the map replaced. */
static void name_of(const struct rt_placed_code *code, char out[NAME_BYTES]) {
    const char *suffix = code->loop ? " (loop)" : "";
    struct bc_name name = {0};
    if (code->module) name = rt_module_func_name(code->module, code->func);
    if (!code->module)
        snprintf(out, NAME_BYTES, "atoll:%s", code->name);
    else if (name.size)
        snprintf(out, NAME_BYTES, "wasm:%.*s%s", name.size < 100 ? (int)name.size : 100, name.bytes, suffix);
    else
        snprintf(out, NAME_BYTES, "wasm:func[%" PRIu32 "]%s", code->func, suffix);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
}

enum { AT_ONCE = 32 };

static void tell_some(const struct rt_placed_code *codes, size_t n) {
    struct native_name names[AT_ONCE];
    char texts[AT_ONCE][NAME_BYTES];
    for (size_t i = 0; i < n; i++) {
        name_of(codes + i, texts[i]);
        names[i] = (struct native_name){codes[i].code, codes[i].n_bytes, texts[i], codes[i].unwind,
                                        codes[i].unwind_bytes};
        tell_perf(names + i);
    }
    if (native_gdb_is_open()) native_gdb_tell(0, names, n);
}

void perf_code_placed(const struct rt_placed_code *codes, size_t n) {
    for (size_t i = 0; i < n; i += AT_ONCE) tell_some(codes + i, n - i < AT_ONCE ? n - i : AT_ONCE);
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
    const struct native_name name = {code->start, code->n_bytes, text, NULL, 0};
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
