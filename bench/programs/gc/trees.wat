;; Binary trees: many short-lived ones beside one that stays. run(depth) = the number of nodes seen.
(module
  (type $tree (sub final (struct (field $left (ref null $tree)) (field $right (ref null $tree)))))

  (func $make (param $depth i32) (result (ref $tree))
    (if (result (ref $tree)) (i32.eqz (local.get $depth))
      (then (struct.new $tree (ref.null $tree) (ref.null $tree)))
      (else
        (struct.new $tree
          (call $make (i32.sub (local.get $depth) (i32.const 1)))
          (call $make (i32.sub (local.get $depth) (i32.const 1)))))))

  (func $count (param $tree (ref null $tree)) (result i32)
    (block $leaf
      (i32.add
        (i32.add (i32.const 1) (call $count (struct.get $tree $left (br_on_null $leaf (local.get $tree)))))
        (call $count (struct.get $tree $right (local.get $tree))))
      (return))
    (i32.const 0))

  (func (export "run") (param $depth i32) (result i64)
    (local $lasting (ref $tree)) (local $d i32) (local $n i32) (local $sum i64)
    (local.set $lasting (call $make (local.get $depth)))
    (local.set $d (i32.const 4))
    (loop $depths
      (if (i32.le_s (local.get $d) (local.get $depth))
        (then
          (local.set $n (i32.shl (i32.const 1) (i32.sub (i32.add (local.get $depth) (i32.const 4)) (local.get $d))))
          (loop $trees
            (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $count (call $make (local.get $d))))))
            (br_if $trees (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          (local.set $d (i32.add (local.get $d) (i32.const 2)))
          (br $depths))))
    (i64.add (local.get $sum) (i64.extend_i32_u (call $count (local.get $lasting))))))
