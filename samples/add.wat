;; Text format: atoll assembles and runs it in one step; --invoke calls an export.
(module
  (func $add (export "add") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b))))
