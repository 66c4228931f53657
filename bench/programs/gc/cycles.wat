;; Cyclic garbage: rings linked both ways, that only a collector takes back. run(n) = a checksum of n rings.
(module
  (type $node (sub final (struct (field $next (mut (ref null $node))) (field $previous (mut (ref null $node))) (field $value i32))))

  (func $ring (param $size i32) (result (ref $node))
    (local $first (ref $node)) (local $last (ref $node)) (local $node (ref $node))
    (local.set $first (struct.new $node (ref.null $node) (ref.null $node) (local.get $size)))
    (local.set $last (local.get $first))
    (loop $more
      (local.set $node (struct.new $node (ref.null $node) (local.get $last) (local.get $size)))
      (struct.set $node $next (local.get $last) (local.get $node))
      (local.set $last (local.get $node))
      (br_if $more (local.tee $size (i32.sub (local.get $size) (i32.const 1)))))
    (struct.set $node $next (local.get $last) (local.get $first))
    (struct.set $node $previous (local.get $first) (local.get $last))
    (local.get $first))

  ;; once round, forwards and back
  (func $sum (param $first (ref $node)) (result i64)
    (local $at (ref null $node)) (local $s i64)
    (local.set $at (local.get $first))
    (loop $forwards
      (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 7)) (i64.extend_i32_s (struct.get $node $value (local.get $at)))))
      (local.set $at (struct.get $node $next (local.get $at)))
      (br_if $forwards (i32.eqz (ref.eq (local.get $at) (local.get $first)))))
    (loop $back
      (local.set $at (struct.get $node $previous (local.get $at)))
      (local.set $s (i64.xor (local.get $s) (i64.extend_i32_s (struct.get $node $value (local.get $at)))))
      (br_if $back (i32.eqz (ref.eq (local.get $at) (local.get $first)))))
    (local.get $s))

  (func (export "run") (param $n i32) (result i64)
    (local $s i64)
    (loop $more
      (local.set $s (i64.add (local.get $s) (call $sum (call $ring (i32.add (i32.const 1) (i32.and (local.get $n) (i32.const 63)))))))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))
