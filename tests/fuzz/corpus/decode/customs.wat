(module
  (@custom "before" (before first) "one")
  (@custom "between" (after func) "two")
  (@custom "name" "\00\02\01m\01\03\01\00\00")
  (@custom "name" "\01\ff")
  (@custom "" "")
  (func $named (param $p i32) (local $l f32) (block $b)))
