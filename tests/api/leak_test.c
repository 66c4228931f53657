/* tests/api/leak_test.c: ten thousand times a program is loaded, run and dropped, with all that it can hold:
 * managed objects, exceptions, references, native handles and callbacks, streams. Afterwards there are as
 * many blocks, descriptors and mappings as before, and the process is as large. Leaks that LeakSanitizer
 * knows show under it. usage: leak_test [ROUNDS] */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include "tests/api/world.h"
#include "tests/sanitized.h"

static int rounds = 10000;

static const char text[] =
    "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result "
    "i32)))"
    "(import \"c\" \"malloc\" (func $malloc (param i32) (result externref)))"
    "(import \"c\" \"free\" (func $free (param externref)))"
    "(import \"c\" \"qsort\" (func $qsort (param i32 i32 i32 funcref)))"
    "(import \"h\" \"host\" (func $host (param externref i32) (result externref)))"
    "(import \"h\" \"tag\" (tag $e (param i32 anyref)))"
    "(type $list (struct (field (mut i32)) (field (mut (ref null $list))) (field (mut anyref))))"
    "(global $kept (mut (ref null $list)) (ref.null $list))"
    "(memory (export \"memory\") 1) (table 10 externref)"
    "(data (i32.const 0) \"\\10\\00\\00\\00\\05\\00\\00\\00\") (data (i32.const 16) \"hello\")"
    "(elem declare func $less)"
    "(func $less (param i32 i32) (result i32)"
    "  (i32.sub (i32.load (local.get 0)) (i32.load (local.get 1))))"
    "(func (export \"lists\") (param $n i32) (result i32)"
    "  (loop $more"
    "    (global.set $kept (struct.new $list (local.get $n) (global.get $kept)"
    "      (any.convert_extern (call $host (extern.convert_any (ref.i31 (local.get $n))) (local.get $n)))))"
    "    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    "  (struct.get $list 0 (global.get $kept)))"
    "(func (export \"throws\") (throw $e (i32.const 3) (global.get $kept)))"
    "(func (export \"catches\") (result i32) (block $h (result i32 anyref)"
    "    (try_table (catch $e $h) (throw $e (i32.const 5) (global.get $kept))) (unreachable)) (drop))"
    "(func (export \"natives\") (result i32) (local $b externref)"
    "  (local.set $b (call $malloc (i32.const 100))) (call $free (local.get $b))"
    "  (table.set (i32.const 3) (call $host (call $malloc (i32.const 10)) (i32.const 1)))"
    "  (call $free (table.get (i32.const 3)))"
    "  (i32.store (i32.const 400) (i32.const 9)) (i32.store (i32.const 404) (i32.const 4))"
    "  (call $qsort (i32.const 400) (i32.const 2) (i32.const 4) (ref.func $less))"
    "  (i32.load (i32.const 400)))"
    "(func (export \"writes\") (result i32)"
    "  (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "(func (export \"traps\") (drop (i32.load (i32.const -1))))"
    "(func (export \"deep\") (call $deep)) (func $deep (call $deep)))";
static const char natives[] =
    "library \"libc.so.6\"; module \"c\"; handle block; block *malloc(size_t n); void free(block "
    "*b destroy); callback int compare(const void *a inside, const void *b inside);"
    "void qsort(void *base inout(count * size), size_t count, size_t size, compare order);";

static wasm_trap_t *host(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)env;
    wasm_val_copy(&results->data[0], &args->data[0]);
    return NULL;
}
static void count_down(void *p) { --*(long *)p; }

static wasm_trap_t *call(const wasm_extern_vec_t *exports, size_t i, int32_t arg, int32_t *out) {
    wasm_func_t *f = wasm_extern_as_func(exports->data[i]);
    wasm_val_t in[] = {WASM_I32_VAL(arg)}, result[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = {wasm_func_param_arity(f), in}, results = {wasm_func_result_arity(f), result};
    wasm_trap_t *trap = wasm_func_call(f, &args, &results);
    *out = result[0].of.i32;
    return trap;
}

static void expect_trap(const wasm_extern_vec_t *exports, size_t i, enum atoll_trap_code code) {
    int32_t ignored;
    wasm_byte_vec_t lines;
    wasm_trap_t *trap = call(exports, i, 0, &ignored);
    assert_int_equal(atoll_trap_code(trap), code);
    assert_true(atoll_trap_backtrace(trap, &lines));
    wasm_byte_vec_delete(&lines);
    if (code == ATOLL_TRAP_EXCEPTION) {
        wasm_val_vec_t values;
        wasm_ref_t *exception = atoll_trap_exception(trap);
        wasm_extern_t *tag = atoll_exception_tag(exception);
        assert_true(atoll_exception_values(exception, &values));
        assert_int_equal(atoll_ref_kind(values.data[1].of.ref), ATOLL_REF_STRUCT);
        wasm_val_vec_delete(&values);
        wasm_extern_delete(tag);
        wasm_ref_delete(exception);
    }
    wasm_trap_delete(trap);
}

static void use(struct world *w, const wasm_module_t *m, const wasm_extern_vec_t *exports,
                atoll_wasi_t *wasi) {
    int32_t got;
    wasm_byte_vec_t out;
    assert_null(call(exports, 1, 20, &got));
    assert_int_equal(got, 1);
    expect_trap(exports, 2, ATOLL_TRAP_EXCEPTION);
    assert_null(call(exports, 3, 0, &got));
    assert_int_equal(got, 5);
    assert_null(call(exports, 4, 0, &got));
    assert_int_equal(got, 4);
    assert_null(call(exports, 5, 0, &got));
    expect_trap(exports, 6, ATOLL_TRAP_PROGRAM);
    expect_trap(exports, 7, ATOLL_TRAP_PROGRAM);
    assert_true(atoll_wasi_output(wasi, 1, &out));
    assert_bytes(&out, "hello");
    wasm_ref_t *object = atoll_struct_new(w->store, atoll_module_heaptype(m, 0), NULL);
    wasm_foreign_t *foreign = wasm_foreign_new(w->store);
    wasm_val_t value = WASM_REF_VAL(wasm_foreign_as_ref(foreign));
    assert_true(atoll_object_set(object, 2, &value));
    wasm_foreign_delete(foreign);
    wasm_ref_delete(object);
}

static void run_once(wasm_engine_t *engine, long *live) {
    struct world w = {.engine = engine, .store = wasm_store_new(engine)};
    wasm_module_t *m = module_of(&w, text);
    wasm_functype_t *type =
        wasm_functype_new_2_1(wasm_valtype_new_anyref(), wasm_valtype_new_i32(), wasm_valtype_new_anyref());
    wasm_func_t *f = wasm_func_new_with_env(w.store, type, host, live, count_down);
    wasm_extern_vec_t exports;
    wasm_importtype_vec_t imports;
    wasm_trap_t *trap = NULL;
    ++*live;
    wasm_functype_delete(type);
    wasm_module_imports(m, &imports);
    wasm_extern_t *given[6] = {NULL, NULL, NULL, NULL, wasm_func_as_extern(f), NULL};
    wasm_module_t *tags = module_of(&w, "(module (tag (export \"tag\") (param i32 anyref)))");
    wasm_extern_vec_t none = WASM_EMPTY_VEC, tag;
    wasm_instance_t *of_tag = wasm_instance_new(w.store, tags, &none, NULL);
    wasm_instance_exports(of_tag, &tag);
    given[5] = tag.data[0];
    wasm_extern_vec_t by_position = WASM_ARRAY_VEC(given);
    atoll_wasi_t *wasi = atoll_wasi_new(engine, NULL);
    assert_true(atoll_wasi_native(wasi, NULL, natives, sizeof natives - 1));
    assert_true(atoll_wasi_stdout_bytes(wasi, 1, 1000));
    wasm_instance_t *i = atoll_wasi_instantiate(w.store, m, wasi, &by_position, &trap);
    if (!i) assert_message(trap, "nothing");
    wasm_instance_exports(i, &exports);
    use(&w, m, &exports, wasi);
    wasm_extern_vec_delete(&exports);
    wasm_extern_vec_delete(&tag);
    wasm_importtype_vec_delete(&imports);
    wasm_instance_delete(of_tag);
    wasm_instance_delete(i);
    wasm_func_delete(f);
    wasm_module_delete(tags);
    wasm_module_delete(m);
    wasm_store_delete(w.store);
}

struct size {
    long blocks, descriptors, mappings, resident_kib;
};

static long lines_of(const char *path) {
    char buffer[4096];
    long n = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY);
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < got; i++) n += buffer[i] == '\n';
    close(fd);
    return n;
}

static struct size measure(const struct counting *memory) {
    struct size s = {.blocks = memory->live, .mappings = lines_of("/proc/self/maps")};
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir)) s.descriptors++;
    closedir(dir);
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    s.resident_kib = pages * (sysconf(_SC_PAGESIZE) / 1024);
    return s;
}

static void rounds_leave_nothing(void **state) {
    struct counting memory = {0};
    struct atoll_alloc alloc = {count_resize, &memory};
    struct size before = {0};
    long live = 0;
    (void)state;
    for (int n = 0; n < rounds; n += 10) {
        wasm_config_t *config = wasm_config_new();
        atoll_config_allocator(config, &alloc);
        atoll_config_sizes(config, 65536, 0); /* a program uses up its stack in each round */
        wasm_engine_t *engine = wasm_engine_new_with_config(config);
        for (int k = 0; k < 10; k++) run_once(engine, &live);
        wasm_engine_delete(engine);
        assert_int_equal(memory.live, 0);
        assert_int_equal(live, 0);
        if (n >= rounds / 5 && !before.resident_kib) before = measure(&memory);
    }
    struct size after = measure(&memory);
    print_message("before: %ld descriptors, %ld mappings, %ld KiB; after: %ld, %ld, %ld KiB\n",
                  before.descriptors, before.mappings, before.resident_kib, after.descriptors, after.mappings,
                  after.resident_kib);
    assert_int_equal(after.descriptors, before.descriptors);
    if (SANITIZED) return;
    assert_true(after.mappings <= before.mappings + 32); /* the collector's heap may take another piece */
    assert_true(after.resident_kib <= before.resident_kib + 3072);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rounds_leave_nothing)};
    if (argc > 1) rounds = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
