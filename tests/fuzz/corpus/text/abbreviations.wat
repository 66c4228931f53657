(module
  (func (export "a") (import "m" "n") (param i32) (param $x i64))
  (memory (export "mem") (data "x" "\u{1F600}\t\n\\"))
  (table funcref (elem 0 0))
  (global (export "g") (mut i32) (i32.const 0))
  (func (if (i32.const 1) (then nop) (else unreachable)) if $l nop else $l end $l
    (call_indirect (type 0) (param i32) (param i64) (i32.const 0) (i64.const 0) (i32.const 0))))
