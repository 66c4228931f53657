;; A loop in a handler that throws on, inside of a loop around the try: entered there, the exception is not at hand.
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func (param i64 f32 v128 f64)))
  (type (;3;) (func (result i64 f32 v128 f64)))
  (type (;4;) (func (param f32)))
  (type (;5;) (func (param f64 i64) (result f32 f64 f32 i64)))
  (type (;6;) (func (param i32 f32)))
  (type (;7;) (func (param f64)))
  (type (;8;) (func (param i64 i32 f64 i64 i64 i32 f32) (result i32)))
  (type (;9;) (func (param i64 i64 f32 i32 f32 v128 i64)))
  (import "h0" "f0" (func (;0;) (type 0)))
  (import "h0" "f1" (func (;1;) (type 2)))
  (tag (;0;) (type 0))
  (tag (;1;) (type 1))
  (tag (;2;) (type 2))
  (export "f6" (func 6))
  (func (;2;) (type 4) (param f32)
    (local i64 f64 f64 f64 f64))
  (func (;3;) (type 3) (result i64 f32 v128 f64)
    (local i32 i32 v128 f64 f64 i32 i32 i64 v128 i32 f64 i32 i32 i64 f64 f32 i64 i32 f32 f32 i32 f64 f32 v128 i32 i32 v128 f64 v128 v128 i64 i32 i64 f32 i64 i32 i64 v128 i32 v128)
    i64.const 0
    f32.const 0
    v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000
    f64.const 0)
  (func (;4;) (type 0)
    (local i32 i64 i32 i32 i64 v128 funcref f64 f32 i64 i32 f32 f64 f32 i64))
  (func (;5;) (type 4) (param f32)
    (local i32 i32 i32 v128 f64 i32 i32 f64 f64 f64 f64 i64 f64 i64 f32 i32 i32 i32 i64 f64 v128 v128 v128 v128 v128 i32 i32 i32 f32 i32 i32 i64))
  (func (;6;) (type 8) (param i64 i32 f64 i64 i64 i32 f32) (result i32)
    (local f32 i32 v128 f64 i32 i32 f64 v128 i32 i64 f32 funcref i32 funcref i32 f64 i32)
    block (;@1;)
      loop (;@2;)
        try (result f64) (;@3;)
          i32.const 0
          i32.eqz
          if (;@4;)
            i32.const 0
            throw 1
          end
          local.get 22
        catch_all
          i32.const 3
          local.set 23
          block (;@4;)
            loop (;@5;)
              local.get 23
              i32.eqz
              br_if 1 (;@4;)
              br 0 (;@5;)
            end
          end
          i32.const 0
          if (;@4;)
            rethrow 1 (;@3;)
          end
          f64.const -56
        end
        br 0 (;@2;)
      end
    end
    i32.const 0)
  (func (;7;) (type 3) (result i64 f32 v128 f64)
    (local f64 f64 f64 f64 f64 i32 i32 i32 i32 i64)
    i64.const 0
    f32.const 0
    v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000
    f64.const 0)
  (func (;8;) (type 9) (param i64 i64 f32 i32 f32 v128 i64)
    (local i32 i64 i64 i64 f64 i64 f64 f32 f64 v128 f64 f32 f64 v128 f64 f64 i32 f32 f32 i32 i32 i32 i32 funcref v128 v128))
  (func (;9;) (type 6) (param i32 f32)
    (local i64 i64 v128)))
