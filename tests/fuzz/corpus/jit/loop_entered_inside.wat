;; The inner loop is entered while it runs, so that the loops around are reached by their back edges alone: what stands in
;; front of the middle one, and is wanted again behind it, was not computed on that way.
(module
  (memory 1)
  (func (export "f") (param $x i32) (param $n i32) (result i32) (local $middle i32) (local $inner i32) (local $sum i32)
    local.get $n
    i32.const 7
    i32.and
    i32.const 2
    i32.add
    local.set $n
    loop $out
      i32.const 0
      local.get $x
      i32.const 77
      i32.xor
      i32.store
      i32.const 3
      local.set $middle
      block $done
        loop $between
          local.get $middle
          i32.eqz
          br_if $done
          local.get $middle
          i32.const 1
          i32.sub
          local.set $middle
          i32.const 40
          local.set $inner
          loop $in
            local.get $inner
            i32.const 1
            i32.sub
            local.tee $inner
            br_if $in
          end
          br $between
        end
      end
      local.get $sum
      i32.const 31
      i32.mul
      local.get $x
      i32.const 77
      i32.xor
      i32.add
      local.set $sum
      local.get $n
      i32.const 1
      i32.sub
      local.tee $n
      br_if $out
    end
    local.get $sum
    i32.const 0
    i32.load
    i32.add))
