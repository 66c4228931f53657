;; The function is found to have no code when some of it is written already: that its address is a constant, and too large,
;; shows behind the loop's head only.
(module
  (memory 1)
  (func (export "f") (param i32) (result i32) (local $at i32) (local $x i32)
    i32.const 0x80000000
    local.set $at
    i32.const 5
    local.set $x
    local.get 0
    if
      loop $l
        local.get $at
        local.get $x
        i32.atomic.rmw.add
        local.set $x
        local.get $at
        local.set $at
        local.get 0
        i32.const 1
        i32.sub
        local.tee 0
        br_if $l
      end
    end
    local.get $x))
