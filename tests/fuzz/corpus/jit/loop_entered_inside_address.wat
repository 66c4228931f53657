;; A generated module, made small: code entered at an inner loop took an address from in front of the loops around it.
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func (param i64 f32 v128 f64)))
  (type (;3;) (func (result i64 f32 v128 f64)))
  (type (;4;) (func (param f32) (result f32)))
  (type (;5;) (func (param f32 i64) (result f64)))
  (type (;6;) (func (param i32) (result f32)))
  (type (;7;) (func (param i32) (result f32)))
  (type (;8;) (func (result v128)))
  (import "h0" "f0" (func (;0;) (type 3)))
  (memory (;0;) 1 1)
  (export "f6" (func 6))
  (func (;1;) (type 5) (param f32 i64) (result f64)
    (local i32 i32 i64 f64 v128 f32 i64 f32 f32 i32 i64 v128 v128 i32 i32 v128 i32 i32)
    f64.const 0)
  (func (;2;) (type 1) (param i32)
    (local i32 f32 v128 f32 f32 f32 f32 f32 f32 i32 i64 i32 f64 f64 v128 i32 f32 v128 i32 i32 i32 f32 f32 i64 i64 i64 f64 v128 i32 funcref v128 f32 f32 i64 i64 i64 i64))
  (func (;3;) (type 5) (param f32 i64) (result f64)
    (local i32 i32 f64 f32 f32 i64 f64 v128 i64 i32 v128 i32 f64 i32 f64 f64 f64 f32 v128 f64 f64 v128 f32 i32 i64 i64 i64)
    f64.const 0)
  (func (;4;) (type 4) (param f32) (result f32)
    (local i32 f32 f32 f32 i64 i64 f64 i32 i64 i32 f64 v128 i64 i32 i32 i32 v128 f32 i32 i32)
    f32.const 0)
  (func (;5;) (type 1) (param i32)
    (local i32 v128 i32 f32 i32 i32 v128 i64 i32 v128 v128 i32 i32 f64 i64 f64 f32 f32 i32 v128 i64 f32 i32 f32 i64 v128 f64 i32 i32 f32 i64 i64 i64 i32))
  (func (;6;) (type 3) (result i64 f32 v128 f64)
    (local i32 i32 i32 i32 i32 f64 i64 f32 v128 f64 i64 v128 f32 f32 f32 i32 i32 i64 i32 i32 v128 v128 v128 v128 v128 v128 v128 v128 i32 i32 i32 i32 i32 f32 f32 i64 v128 v128 i32 f64 f64 f32 f32)
    block (;@1;)
      block (result f32) (;@2;)
        block (type 3) (result i64 f32 v128 f64) (;@3;)
          block (;@4;)
            loop (;@5;)
              local.get 1
              i32.const 65504
              i32.and
              i64.const 0
              i64.atomic.store32 offset=256
              i32.const 2
              local.set 2
              block (;@6;)
                loop (;@7;)
                  local.get 2
                  i32.eqz
                  br_if 1 (;@6;)
                  i32.const 0
                  local.set 2
                  i32.const 1
                  local.set 3
                  block (;@8;)
                    loop (;@9;)
                      local.get 3
                      i32.eqz
                      br_if 1 (;@8;)
                      i32.const 0
                      local.set 3
                      br 0 (;@9;)
                    end
                  end
                  br 0 (;@7;)
                end
              end
              block (type 0) (;@6;)
                local.get 1
                i32.const 65504
                i32.and
                i64.const 0
                i64.store16 offset=219
              end
            end
          end
          i64.const 0
          f32.const 0
          local.get 8
          i32.const 0
          f64.convert_i32_u
        end
        local.set 9
        local.set 8
        local.set 7
        local.set 10
        f32.const 0
      end
      i32.const 0
      br_table 0 (;@1;) 0 (;@1;) 0 (;@1;) 0 (;@1;)
    end
    i64.const 0
    local.get 41
    v128.const i32x4 0x00000000 0x80000000 0x00000000 0x80000000
    local.get 9))
