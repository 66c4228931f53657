(func (param $"\u{41} b" f64) (result f32)
  f64.const 0x1.fffffffffffff8p1023 drop f64.const nan:0x8000000000000 drop f32.const -0x1p-149 drop
  i64.const -0x8000_0000_0000_0000 drop i32.const +0xff_ff drop f64.const 1e-400 drop f32.const 340282346638528859811704183484516925440
  drop v128.const f32x4 nan inf -inf 0x0.1 drop f32.const .5)
