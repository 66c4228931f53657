;; The result of a rotate had the register of its count, which is read behind the other operand.
(module
  (memory 1)
  (func (export "f") (param i32 i64) (result i32)
    i32.const -8
    memory.size
    i32.rotl
    i32.const 248
    i32.and
    local.get 0
    local.get 0
    i32.const 0
    local.get 0
    i32.rotl
    i32.rotl
    i32.xor
    i32.add
    local.get 1
    local.get 1
    local.get 1
    i64.rotr
    i64.rotl
    i32.wrap_i64
    i32.add))
