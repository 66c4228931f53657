;; atoll run --native samples/native/libm.ffi --invoke power samples/native/libm.wat 2 10
(module
  (import "m" "pow" (func $pow (param f64 f64) (result f64)))
  (import "m" "frexp" (func $frexp (param f64 i32) (result f64)))
  (memory 1)
  (func (export "power") (param f64 f64) (result f64) (call $pow (local.get 0) (local.get 1)))
  (func (export "exponent") (param f64) (result i32)
    (drop (call $frexp (local.get 0) (i32.const 8)))
    (i32.load (i32.const 8))))
