(module (memory 1)
  (func (export "f") (param i32) (result v128)
    (block (result v128) (local.get 0) (v128.load (i32.const 8)) (br 0))))
