#!/bin/sh
# run --coredump: what the dump of a known program holds (interpreted, where values are checked: frames of compiled code have
# none), and that it is there whole or not at all.
# usage: coredump_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
has() { grep -qxF -e "$2" "$1" || { cat "$1"; return 1; }; }
lines() { [ "$(grep -c -e "$2" "$1")" -eq "$3" ]; }

# Two instances that share a memory and a global; every kind of value in locals, operands and globals.
cat >library.wat <<'END'
(module $library
  (memory (export "memory") 1 100)
  (memory $own 1)
  (global (export "shared") (mut i32) (i32.const -5))
  (data (memory $own) (i32.const 8) "own")
  (func (export "divide") (param $a i32) (param $b i32) (result i32)
    (local $unused f64)
    (local.set $unused (f64.const 0.5))
    (i32.div_s (local.get $a) (local.get $b))))
END
cat >main.wat <<'END'
(module $main
  (import "library" "divide" (func $divide (param i32 i32) (result i32)))
  (import "library" "memory" (memory 1 100))
  (import "library" "shared" (global $shared (mut i32)))
  (global (mut i64) (i64.const -6000000000))
  (global f32 (f32.const 1.5))
  (global f64 (f64.const -2.25))
  (global v128 (v128.const i32x4 1 2 3 4))
  (global funcref (ref.func $outer))
  (global externref (ref.null extern))
  (global (ref null i31) (ref.i31 (i32.const 7)))
  (func $inner (param $x i32) (result i32)
    (local $l i64) (local $f f32) (local $d f64) (local $v v128) (local $r funcref)
    (local.set $l (i64.const -9))
    (local.set $f (f32.const 0.25))
    (i64.const 77)
    (local.get $d)
    (call $divide (local.get $x) (i32.const 0))
    (drop) (drop) (drop)
    (i32.const 1))
  (func $outer (export "_start")
    (i32.store8 (i32.const 4096) (i32.const 255))
    (drop (memory.grow (i32.const 90)))
    (i32.store8 (i32.const 5963775) (i32.const 254))
    (global.set $shared (i32.const 44))
    (drop (call $inner (i32.const 3)))))
END
expect 134 "core.wasm: core dump of main.wat" run --tier interp --preload library=library.wat --coredump core.wasm main.wat
expect 0 "" validate core.wasm
"$atoll" objdump -x core.wasm >listing
check "program" has listing '  program "main.wat"'
check "first module" has listing '  module[0] "library.wat"'
check "second module" has listing '  module[1] "main.wat"'
check "the library's memories and global" has listing '  instance[0] module 0, memories 0 1, globals 0'
check "the program's, one of each shared" has listing '  instance[1] module 1, memories 0, globals 0 1 2 3 4 5 6 7'
check "the thread" has listing '  thread "main"'
check "where it trapped, with operands" has listing \
    '  frame[0] instance 0 func[0]+0x12, locals i32 3 i32 0 f64 0.5, operands i32 3 i32 0'
check "where it was called: arguments are gone from the stack, vectors and references have no form" has listing \
    '  frame[1] instance 1 func[1]+0x1f, locals i32 3 i64 -9 f32 0.25 f64 0 ? ?, operands i64 77 f64 0'
check "outermost" has listing '  frame[2] instance 1 func[2]+0x21'
check "memory as large as it is" grep -q 'memory\[0\] 91 .. 100' listing
check "the other memory" grep -q 'memory\[1\] 1$' listing
check "a global as it is now" grep -q 'global\[0\] i32 (i32.const 44)' listing
check "negative" grep -q 'global\[1\] i64 (i64.const -6000000000)' listing
check "float" grep -q 'global\[2\] f32 (f32.const 1.5)' listing
check "double" grep -q 'global\[3\] f64 (f64.const -2.25)' listing
check "vector" grep -q 'global\[4\] v128 (v128.const i32x4 1 2 3 4)\|global\[4\] v128 (v128.const i32x4 0x0*1 0x0*2 0x0*3 0x0*4)' listing
check "reference" grep -q 'global\[5\] funcref (ref.null func)' listing
check "i31" grep -q 'global\[7\] anyref (ref.null any)' listing
check "pages of zeroes are left out" lines listing 'data\[' 3
check "the page that was written" grep -q 'data\[0\] active, 4096 bytes .*memory\[0\] at (i32.const 4096)' listing
check "the last page" grep -q 'data\[1\] active, 4096 bytes .*memory\[0\] at (i32.const 5959680)' listing
check "the other memory's" grep -q 'data\[2\] active, 4096 bytes .*memory\[1\] at (i32.const 0)' listing
"$atoll" dis core.wasm >text
check "bytes" grep -q '\\00\\00\\00own\\00' text
check "last byte" grep -q '\\fe")' text
check "small" [ "$(wc -c <core.wasm)" -lt 13000 ]

# Compiled code tells where it was, without values.
expect 134 "core dump" run --tier jit --preload library=library.wat --coredump jit.wasm main.wat
"$atoll" objdump -x jit.wasm >listing
check "the same places" has listing '  frame[0] instance 0 func[0]+0x12'
check "all of them" has listing '  frame[2] instance 1 func[2]+0x21'

# A 64-bit memory.
echo '(module (memory i64 2) (func (export "_start") (i64.store (i64.const 70000) (i64.const -1)) unreachable))' >m64.wat
expect 134 "unreachable" run --tier interp --coredump m64.wasm m64.wat
expect 0 'memory[0] at (i64.const 69632)' objdump -x m64.wasm
expect 0 "" validate m64.wasm

# Faults of memory accesses are found by the machine; frames are the same.
echo '(module (memory 1) (func (export "_start") (local i32) (local.set 0 (i32.const 5))
    (i64.const 3) (drop (i32.load (i32.const -4))) drop))' >fault.wat
expect 134 "out of bounds memory access" run --tier interp --coredump fault.wasm fault.wat
expect 0 'locals i32 5, operands i64 3 i32 -4' objdump -x fault.wasm

# Every frame of a recursion without end, and no more than was entered.
echo '(module (func $f (export "_start") (local i64 i64) (local.set 1 (i64.const 2)) (call $f)))' >deep.wat
expect 134 "call stack exhausted" run --tier interp --max-stack 64k --coredump deep.wasm deep.wat
"$atoll" objdump -x deep.wasm >listing
check "the frame that did not fit has no locals yet" has listing '  frame[0] instance 0 func[0]+0x3, locals ? ?'
check "all others have" sh -c '[ $(grep -c "locals i64 0 i64 2$" listing) -gt 1000 ] && ! sed 1,/frame.0/d listing | grep -q "?"'

# A trap outside of functions has no frames.
echo '(module (memory 1) (data (i32.const 65535) "ab"))' >segment.wat
expect 134 "out of bounds memory access" run --coredump segment.wasm segment.wat
expect 0 'thread "main"' objdump -x segment.wasm
check "no frames" sh -c '! grep -q frame out'

# A trap on a thread: its frames, its instances, the memory of all; constants that belong to the first thread's preload.
echo '(module (memory (export "memory") 1 1 shared) (global (export "k") i32 (i32.const 99)))' >shared.wat
cat >threads.wat <<'END'
(module (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "env" "memory" (memory 1 1 shared)) (import "env" "k" (global $k i32)) (global $own (mut i32) (i32.const 5))
  (func $crash (param i32 i32) (local i64)
    (local.set 2 (i64.const 77)) (global.set $own (local.get 1)) (i32.store8 (i32.const 16) (i32.const 65)) unreachable)
  (func (export "wasi_thread_start") (param i32 i32) (call $crash (local.get 0) (local.get 1)))
  (func (export "_start")
    (drop (call $spawn (i32.const 42)))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))
END
expect 134 "threads.wasm: core dump of threads.wat" run --tier interp --preload env=shared.wat --coredump threads.wasm threads.wat
expect 0 "" validate threads.wasm
"$atoll" objdump -x threads.wasm >listing
check "which thread" has listing '  thread "thread 1"'
check "its frames" has listing '  frame[0] instance 0 func[1]+0x14, locals i32 1 i32 42 i64 77'
check "its globals, then others' constants" has listing '  instance[0] module 0, memories 0, globals 1 0'
check "with its value" has listing '  global[0] i32 (i32.const 42)'
check "and theirs" has listing '  global[1] i32 (i32.const 99)'
check "the shared memory" has listing '  memory[0] 1 .. 1 shared'

# Whole or not at all; the trap's status stays.
echo '(module (func (export "_start")))' >fine.wat
expect 0 "" run --coredump none.wasm fine.wat
check "no trap, no file" absent none.wasm
expect 134 "No such file" run --coredump missing/core.wasm m64.wat
expect 134 "No space left" run --coredump /dev/full m64.wat
mkdir only
expect 134 "only/core.wasm: core dump" run --coredump only/core.wasm m64.wat
check "nothing temporary stays" no_leftovers only 1
exit $failed
