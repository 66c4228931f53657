(module
  (memory 2 3)
  (export "f" (func 0))
  (func (local $x i64)
    i64.const 241003265042
    local.set $x
    i32.const 0
    loop (result i32)
      i32.const 0
      local.get $x
      i64.atomic.rmw.xor offset=200
      i32.const 0
      i32.const 0
      if (result i64)
        i64.const 0
        local.tee $x
      else
        i64.const 0
      end
      i64.atomic.rmw.add
      i64.gt_u
    end
    i32.store8 offset=6))
