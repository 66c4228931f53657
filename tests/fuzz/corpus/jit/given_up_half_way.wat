;; The function is found to have no code when some of it is written already.
(module
  (func $many (param i64 i64 i64 i64 i64 i64 i64 i64) (result i32)
    i32.const 3)
  (func (export "f") (param i32) (result i32)
    local.get 0
    if
      i64.const 0 i64.const 1 i64.const 2 i64.const 3 i64.const 4 i64.const 5 i64.const 6 i64.const 7
      return_call $many
    end
    i32.const 4))
