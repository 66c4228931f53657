;; Nobody moved the loop's values on the way from a table that has its default alone.
(module
  (memory 1)
  (func (export "f") (local i32 f64)
    i32.const 7
    local.set 0
    block
      loop
        local.get 0
        i32.eqz
        br_if 1
        local.get 0
        i32.const 1
        i32.sub
        local.set 0
        loop
          local.get 0
          if
            f32.const 0
            f32.const 0
            f32.ge
            if
              f64.const 0
              local.get 1
              f64.gt
              br_table 3
            end
          end
        end
        i32.const 0
        i64.const -3
        i64.atomic.rmw16.add_u offset=76
        drop
        br 0
      end
    end))
