;; Both sides become constants late, and the right one does not fit 32 bits.
(module
  (global $g (mut i64) (i64.const 1))
  (func (export "f") (param i64) (local i64)
    loop
      local.get 1
      local.tee 0
      local.set 1
    end
    local.get 0
    i64.const 34359738368
    i64.ge_u
    if
      i64.const 2
      global.set $g
    end))
