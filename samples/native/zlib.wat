;; Compresses 60000 zero bytes and returns how many are left.
(module
  (import "z" "compress" (func $compress (param i32 i32 i32 i32) (result i32)))
  (memory 2)
  (func (export "size") (result i32)
    (i32.store (i32.const 0) (i32.const 4096))
    (if (call $compress (i32.const 8) (i32.const 0) (i32.const 65536) (i32.const 60000)) (then unreachable))
    (i32.load (i32.const 0))))
