/* tests/cli/gdb_session.h: a debugger of atoll run --gdb, as lldb speaks for wasm. */
#ifndef ATOLL_TESTS_CLI_GDB_SESSION_H
#define ATOLL_TESTS_CLI_GDB_SESSION_H

#include "bytecode/bytecode.h"
#include "tests/cli/gdb_client.h"

#define OBJECT (UINT64_C(1) << 62)

static char directory[] = "/tmp/atoll-gdb-XXXXXX";

/* ---- a session ---- */

struct program {
    struct bc_buf bytes; /* assembled as atoll does */
    struct bc_module *m;
};

static inline const char *write_program(const char *name, const char *text) {
    static char path[2][200];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s.wat", directory, name);
    FILE *f = fopen(path[turn], "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path[turn];
}

static inline void open_session(struct session *s, const char *text, const char *flag, const char *value) {
    FILE *errors;
    const char *path = write_program("program", text);
    char *arguments[] = {"atoll",
                         "run",
                         "--gdb",
                         "0",
                         (char *)(flag ? flag : "--"),
                         (char *)(flag ? value : path),
                         flag ? (char *)path : NULL,
                         NULL};
    *s = (struct session){.program = calloc(1, sizeof *s->program)};
    assert_non_null(s->program);
    bc_buf_init(&s->program->bytes, &atoll_default_alloc);
    assert_int_equal(bc_text_assemble(text, strlen(text), NULL, &s->program->bytes, NULL, NULL), ATOLL_OK);
    assert_int_equal(
        bc_module_decode(s->program->bytes.data, s->program->bytes.size, NULL, &s->program->m, NULL),
        ATOLL_OK);
    s->pid = spawn(arguments, &errors);
    connect_to(s, announced_port(errors, "atoll: waiting for a debugger at 127.0.0.1:"));
    fclose(errors);
}

static inline int close_session(struct session *s) {
    if (s->fd >= 0) close(s->fd);
    bc_module_free(s->program->m);
    bc_buf_fini(&s->program->bytes);
    free(s->program);
    return status_of(s->pid);
}

/* ---- places ---- */

/* The nth instruction of an own function. */
static inline uint64_t place(const struct session *s, uint32_t func, unsigned nth) {
    const struct bc_func *f = &s->program->m->funcs[func];
    struct bc_instr in;
    uint32_t at = f->code_offset, end = f->body.offset + f->body.size;
    while (nth-- && !bc_decode_instr(s->program->m, at, end, &in, NULL)) at = in.next;
    return OBJECT | at;
}
static inline void stands(const char *reply, const char *signal_digits, uint64_t pc, const char *reason) {
    assert_memory_equal(reply, signal_digits, 3);
    mentions(reply, format("thread-pcs:%llx;", (unsigned long long)pc));
    mentions(reply, format("00:%s;", little_endian(pc)));
    mentions(reply, format("reason:%s;", reason));
}

/* ---- all sessions ---- */

static inline bool begin_sessions(const char *atoll) {
    command = atoll;
    return mkdtemp(directory) != NULL;
}
static inline void end_sessions(void) {
    static const char *const files[] = {"program.wat", "library.wat", "core.wasm"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(format("%s/%s", directory, files[i]));
    rmdir(directory);
}

#endif
