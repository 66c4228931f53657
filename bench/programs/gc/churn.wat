;; Allocation and little else: each object lives while the next 1000 are made. run(n) = a checksum of n objects.
(module
  (type $pair (sub final (struct (field $a i64) (field $b (ref null $pair)))))
  (type $window (array (mut (ref null $pair))))

  (func (export "run") (param $n i32) (result i64)
    (local $window (ref $window)) (local $i i32) (local $s i64) (local $old (ref null $pair))
    (local.set $window (array.new_default $window (i32.const 1000)))
    (loop $more
      (local.set $old (array.get $window (local.get $window) (local.get $i)))
      (if (i32.eqz (ref.is_null (local.get $old)))
        (then (local.set $s (i64.add (local.get $s) (struct.get $pair $a (local.get $old))))))
      (array.set $window (local.get $window) (local.get $i)
        (struct.new $pair (i64.extend_i32_u (local.get $n)) (ref.null $pair)))
      (local.set $i (select (i32.const 0) (i32.add (local.get $i) (i32.const 1)) (i32.eq (local.get $i) (i32.const 999))))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))
