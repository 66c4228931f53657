;; A load follows a call at once: the return address is the call's place, not the load's.
(module
  (memory 1)
  (func $trap (result i64)
    i32.const 0
    i32.const 0
    i32.store offset=65536
    i64.const 0)
  (func (export "f") (result i32) (local i32)
    i32.const 0
    call $trap
    i64.const 4
    i32.const 0
    i32.load offset=288
    local.set 0
    i64.lt_u
    i32.store8 offset=1
    local.get 0))
