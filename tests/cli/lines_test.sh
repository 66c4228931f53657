#!/bin/sh
# The backtrace of a compiled program tells source lines. usage: lines_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cat >"$dir/percent.c" <<'END'
#include "ratio.h"

__attribute__((noinline)) static int percent(int part, int whole) {
    return ratio(part, whole) + 1;
}

int main(int argc, char **argv) {
    (void)argv;
    return percent(argc,
                   argc - 1) + 1;
}
END
mkdir "$dir/include"
cat >"$dir/include/ratio.h" <<'END'
static inline __attribute__((always_inline)) int divide(int a, int b) {
    return a / b;
}
static inline __attribute__((always_inline)) int ratio(int a, int b) {
    int hundred = 100;
    return hundred * divide(a, b);
}
END
cd "$dir" || exit 1
if ! clang --target=wasm32-wasi -O1 -Iinclude percent.c -o plain.wasm 2>log; then
    echo "clang cannot compile for wasm32-wasi here:"
    head -3 log
    exit 77
fi

# in_order PATTERN...: lines of the last output match, in this order
in_order() {
    at=0
    for pattern in "$@"; do
        next=$(tail -n "+$((at + 1))" out | grep -n -m 1 -e "$pattern" | cut -d: -f1)
        [ -n "$next" ] || { echo "no line '$pattern' behind line $at of:"; cat out; return 1; }
        at=$((at + next))
    done
}

for version in 2 3 4 5; do
    for level in 0 1 2; do
        clang --target=wasm32-wasi -g "-gdwarf-$version" "-O$level" -Iinclude percent.c -o program.wasm || exit 1
        expect 134 "integer divide by zero" run program.wasm
        check "DWARF $version, -O$level" in_order \
            '^    0: divide \[inlined\] at .*include/ratio.h:2:14$' \
            '^       ratio \[inlined\] at .*include/ratio.h:6:22$' \
            '^       percent+0x[0-9a-f]* (program.wasm:0x[0-9a-f]*) at percent.c:4:12$' \
            '^    1: .*main+0x[0-9a-f]* (program.wasm:0x[0-9a-f]*) at percent.c:9:12$'
    done
done

# Without them nothing is made up. Text made from a program is another file: its own lines are told.
expect 134 "percent+0x" run plain.wasm
check "no lines where the program has none" sh -c '! grep -q "percent.c\|ratio.h" out'
"$atoll" dis program.wasm -o program.wat
expect 134 "percent+0x" run program.wat
check "places in text are the text's" in_order 'percent+0x[0-9a-f]* (program.wat:[0-9]*:[0-9]*)$'

# Names in the sections are the program's: they do not reach a terminal as they are.
printf 'int main(int c, char **v) {\n#line 7 "\\033[31mred.c"\n    volatile int zero = c - 1; return c / zero;\n}\n' >escape.c
clang --target=wasm32-wasi -g -O1 escape.c -o escape.wasm || exit 1
expect 134 'at \1b[31mred.c:7:' run escape.wasm
exit $failed
