;; Sorts four numbers in place; C calls back into the program. "sorted" returns the I-th.
(module
  (import "c" "qsort" (func $qsort (param i32 i32 i32 funcref)))
  (memory 1)
  (data (i32.const 16) "\09\00\00\00\03\00\00\00\07\00\00\00\01\00\00\00")
  (elem declare func $order)
  (func $order (param i32 i32) (result i32)
    (i32.sub (i32.load (local.get 0)) (i32.load (local.get 1))))
  (func (export "sorted") (param i32) (result i32)
    (call $qsort (i32.const 16) (i32.const 4) (i32.const 4) (ref.func $order))
    (i32.load (i32.add (i32.const 16) (i32.mul (local.get 0) (i32.const 4))))))
