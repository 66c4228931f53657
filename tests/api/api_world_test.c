/* tests/api/api_world_test.c: a program's world as its host makes it: streams, arguments, grants, limits. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/api/world.h"

/* Copies 0 to 1 until the end; what a call says instead of success is its answer. */
static const char copier[] =
    "(module (import \"wasi_snapshot_preview1\" \"fd_read\" (func $r (param i32 i32 i32 i32) (result i32)))"
    "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $w (param i32 i32 i32 i32) (result i32)))"
    "(memory (export \"memory\") 1)"
    "(func $io (param $buf i32) (param $n i32) (i32.store (i32.const 0) (local.get $buf))"
    "  (i32.store (i32.const 4) (local.get $n)))"
    "(func (export \"copy\") (result i32) (local $e i32)"
    "  (loop $again (call $io (i32.const 100) (i32.const 7))"
    "    (local.set $e (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "    (if (local.get $e) (then (return (local.get $e))))"
    "    (if (i32.eqz (i32.load (i32.const 8))) (then (return (i32.const 0))))"
    "    (call $io (i32.const 100) (i32.load (i32.const 8)))"
    "    (local.set $e (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "    (if (local.get $e) (then (return (local.get $e))))"
    "    (br $again)) (unreachable)))";
enum { WASI_EBADF = 8, WASI_ENOSPC = 51 };

/* Runs the copier in the world, which it consumes; the store stays. */
static int32_t copies(struct world *w, atoll_wasi_t *wasi) {
    wasm_module_t *m = module_of(w, copier);
    wasm_extern_vec_t exports;
    wasm_instance_t *i = atoll_wasi_instantiate(w->store, m, wasi, NULL, NULL);
    assert_non_null(i);
    wasm_instance_exports(i, &exports);
    wasm_val_t out[] = {WASM_INIT_VAL};
    wasm_val_vec_t none = WASM_EMPTY_VEC, results = WASM_ARRAY_VEC(out);
    assert_null(wasm_func_call(wasm_extern_as_func(exports.data[1]), &none, &results));
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    return out[0].of.i32;
}

static void bytes_go_in_and_come_out(void **state) {
    struct world w;
    wasm_byte_vec_t out;
    (void)state;
    open_world(&w);
    atoll_wasi_t *wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdin_bytes(wasi, "twenty characters ok", 20));
    assert_true(atoll_wasi_stdout_bytes(wasi, 1, 1000));
    assert_int_equal(copies(&w, wasi), 0);
    assert_true(atoll_wasi_output(wasi, 1, &out));
    assert_bytes(&out, "twenty characters ok");
    assert_false(atoll_wasi_output(wasi, 2, &out));
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdin_bytes(wasi, "twenty characters ok", 20));
    assert_true(atoll_wasi_stdout_bytes(wasi, 1, 10)); /* full in the middle of the second piece */
    assert_int_equal(copies(&w, wasi), WASI_ENOSPC);
    assert_true(atoll_wasi_output(wasi, 1, &out));
    assert_bytes(&out, "twenty cha");
    wasi = atoll_wasi_new(w.engine, &(struct atoll_wasi_config){.max_output_bytes = 14});
    assert_true(atoll_wasi_stdin_bytes(wasi, "twenty characters ok", 20));
    assert_true(atoll_wasi_stdout_bytes(wasi, 1, 1000));
    assert_int_equal(copies(&w, wasi), WASI_ENOSPC);
    close_world(&w);
}

struct source {
    int calls;
    char got[64];
    size_t n;
    int64_t fail;
};
static int64_t give(void *context, void *bytes, size_t size) {
    struct source *s = context;
    if (s->fail) return s->fail;
    if (s->calls++ == 3) return 0;
    memcpy(bytes, "abcdefg", size < 7 ? size : 7);
    return (int64_t)size - 2;
}
static int64_t take(void *context, void *bytes, size_t size) {
    struct source *s = context;
    assert_true(s->n + size <= sizeof s->got);
    memcpy(s->got + s->n, bytes, size);
    s->n += size;
    return (int64_t)size;
}
static int64_t lie(void *context, void *bytes, size_t size) {
    (void)context, (void)bytes;
    return (int64_t)size + 1;
}

static void callbacks_serve_streams(void **state) {
    struct world w;
    struct source in = {0}, out = {0};
    (void)state;
    open_world(&w);
    atoll_wasi_t *wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdio_callback(wasi, 0, give, &in));
    assert_true(atoll_wasi_stdio_callback(wasi, 1, take, &out));
    assert_false(atoll_wasi_stdio_callback(wasi, 3, take, &out));
    assert_int_equal(copies(&w, wasi), 0);
    assert_int_equal(out.n, 15);
    assert_memory_equal(out.got, "abcdeabcdeabcde", 15);
    in = (struct source){.fail = -ENOSPC};
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdio_callback(wasi, 0, give, &in));
    assert_int_equal(copies(&w, wasi), WASI_ENOSPC);
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdio_callback(wasi, 0, lie, &in)); /* more than was asked for: EIO */
    assert_int_equal(copies(&w, wasi), 29);
    close_world(&w);
}

static void files_null_and_closed(void **state) {
    struct world w;
    char name[] = "/tmp/atoll-world-XXXXXX", got[16];
    struct atoll_error error;
    int fd = mkstemp(name);
    (void)state;
    open_world(&w);
    assert_int_equal(write(fd, "old contents", 12), 12);
    atoll_wasi_t *wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdin_bytes(wasi, "to a file", 9));
    assert_true(atoll_wasi_stdio_file(wasi, 1, name, &error));
    assert_int_equal(copies(&w, wasi), 0);
    assert_int_equal(pread(fd, got, sizeof got, 0), 9);
    assert_memory_equal(got, "to a file", 9);
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdio_file(wasi, 0, name, &error));
    assert_true(atoll_wasi_stdout_bytes(wasi, 1, 100));
    assert_int_equal(copies(&w, wasi), 0);
    wasm_byte_vec_t out;
    assert_true(atoll_wasi_output(wasi, 1, &out));
    assert_bytes(&out, "to a file");
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdin_bytes(wasi, "x", 1));
    assert_true(atoll_wasi_stdio_null(wasi, 1));
    assert_int_equal(copies(&w, wasi), 0);
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdin_bytes(wasi, "x", 1));
    assert_int_equal(copies(&w, wasi), WASI_EBADF); /* nothing was said of 1 */
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_stdio_null(wasi, 0));
    assert_int_equal(copies(&w, wasi), 0);
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_false(atoll_wasi_stdio_file(wasi, 0, "/no/such/file", &error));
    assert_int_equal(error.code, ATOLL_E_IO);
    assert_int_equal(error.system_errno, ENOENT);
    assert_false(atoll_wasi_stdio_fd(wasi, 0, 12345));
    atoll_wasi_delete(wasi);
    close(fd);
    unlink(name);
    close_world(&w);
}

static void count_lines(void *context, const char *line) { *(int *)context += strstr(line, "fs.") != NULL; }

static void requests_are_traced_and_grants_checked(void **state) {
    struct world w;
    struct atoll_error error;
    int lines = 0;
    (void)state;
    open_world(&w);
    atoll_wasi_t *wasi =
        atoll_wasi_new(w.engine, &(struct atoll_wasi_config){.trace = count_lines, .trace_context = &lines});
    assert_true(atoll_wasi_stdin_bytes(wasi, "x", 1));
    assert_true(atoll_wasi_stdio_null(wasi, 1));
    assert_int_equal(copies(&w, wasi), 0);
    assert_int_equal(lines, 3); /* read, write, read the end */
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_false(atoll_wasi_dir(wasi, "/no/such/dir::/x", &error));
    assert_int_equal(error.code, ATOLL_E_IO);
    assert_false(atoll_wasi_dir(wasi, "", &error));
    assert_false(atoll_wasi_listen(wasi, "nowhere", &error));
    assert_int_equal(error.code, ATOLL_E_USAGE);
    assert_true(atoll_wasi_listen(wasi, "127.0.0.1:0", &error));
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_true(atoll_wasi_listen_fd(wasi, listening, "mine", &error));
    assert_false(atoll_wasi_env(wasi, "no equals sign"));
    atoll_wasi_delete(wasi);
    assert_true(close(listening) < 0); /* was taken over */
    close_world(&w);
}

/* Imports by position come first; what is left is the world's, native libraries among it. */
static wasm_trap_t *seven(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)args;
    results->data[0] = (wasm_val_t)WASM_F64_VAL(7);
    return NULL;
}
static void imports_mix(void **state) {
    struct world w;
    (void)state;
    open_world(&w);
    wasm_module_t *m =
        module_of(&w, "(module (import \"m\" \"floor\" (func $f (param f64) (result f64)))"
                      "(import \"h\" \"seven\" (func $s (result f64)))"
                      "(func (export \"f\") (result f64) (f64.add (call $s) (call $f (f64.const "
                      "1.5)))))");
    static const char prototypes[] = "library \"libm.so.6\"; double floor(double x);";
    wasm_functype_t *type = wasm_functype_new_0_1(wasm_valtype_new_f64());
    wasm_func_t *host = wasm_func_new(w.store, type, seven);
    wasm_functype_delete(type);
    wasm_extern_t *externs[] = {NULL, wasm_func_as_extern(host)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(externs), exports;
    wasm_trap_t *trap;
    atoll_wasi_t *wasi = atoll_wasi_new(w.engine, NULL);
    assert_null(atoll_wasi_instantiate(w.store, m, wasi, &imports, &trap));
    assert_message(trap, "unknown import: m.floor");
    wasm_trap_delete(trap);
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_native(wasi, "m", prototypes, sizeof prototypes - 1));
    assert_true(atoll_wasi_native(wasi, NULL, "int f(foo);", 11));
    assert_null(atoll_wasi_instantiate(w.store, m, wasi, &imports, &trap));
    assert_message(trap, "1:7: unknown type");
    assert_int_equal(atoll_trap_code(trap), ATOLL_TRAP_LINK);
    wasm_trap_delete(trap);
    wasi = atoll_wasi_new(w.engine, NULL);
    assert_true(atoll_wasi_native(wasi, "m", prototypes, sizeof prototypes - 1));
    wasm_instance_t *i = atoll_wasi_instantiate(w.store, m, wasi, &imports, &trap);
    assert_non_null(i);
    wasm_instance_exports(i, &exports);
    wasm_val_t out[] = {WASM_INIT_VAL};
    wasm_val_vec_t none = WASM_EMPTY_VEC, results = WASM_ARRAY_VEC(out);
    assert_null(wasm_func_call(wasm_extern_as_func(exports.data[0]), &none, &results));
    assert_true(out[0].of.f64 == 8);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_func_delete(host);
    wasm_module_delete(m);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_in_and_come_out),
        cmocka_unit_test(callbacks_serve_streams),
        cmocka_unit_test(files_null_and_closed),
        cmocka_unit_test(requests_are_traced_and_grants_checked),
        cmocka_unit_test(imports_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
