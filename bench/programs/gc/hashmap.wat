;; A hash map with chains that grows: entries are objects, buckets an array of them. run(n) = a checksum of lookups.
(module
  (type $entry (sub final (struct (field $next (mut (ref null $entry))) (field $key i64) (field $value (mut i64)))))
  (type $buckets (array (mut (ref null $entry))))
  (type $map (struct (field $buckets (mut (ref $buckets))) (field $size (mut i32))))

  (func $bucket (param $buckets (ref $buckets)) (param $key i64) (result i32)
    (local.set $key (i64.mul (local.get $key) (i64.const 0x9E3779B97F4A7C15)))
    (i32.and (i32.wrap_i64 (i64.shr_u (local.get $key) (i64.const 40)))
      (i32.sub (array.len (local.get $buckets)) (i32.const 1))))

  (func $find (param $map (ref $map)) (param $key i64) (result (ref null $entry))
    (local $entry (ref null $entry)) (local $buckets (ref $buckets))
    (local.set $buckets (struct.get $map $buckets (local.get $map)))
    (local.set $entry (array.get $buckets (local.get $buckets) (call $bucket (local.get $buckets) (local.get $key))))
    (loop $more
      (if (ref.is_null (local.get $entry)) (then (return (ref.null $entry))))
      (if (i64.eq (struct.get $entry $key (local.get $entry)) (local.get $key)) (then (return (local.get $entry))))
      (local.set $entry (struct.get $entry $next (local.get $entry)))
      (br $more))
    (unreachable))

  (func $grow (param $map (ref $map))
    (local $old (ref $buckets)) (local $new (ref $buckets)) (local $entry (ref null $entry)) (local $next (ref null $entry))
    (local $i i32) (local $at i32)
    (local.set $old (struct.get $map $buckets (local.get $map)))
    (local.set $new (array.new_default $buckets (i32.shl (array.len (local.get $old)) (i32.const 1))))
    (loop $each
      (local.set $entry (array.get $buckets (local.get $old) (local.get $i)))
      (block $empty
        (loop $chain
          (br_if $empty (ref.is_null (local.get $entry)))
          (local.set $next (struct.get $entry $next (local.get $entry)))
          (local.set $at (call $bucket (local.get $new) (struct.get $entry $key (local.get $entry))))
          (struct.set $entry $next (local.get $entry) (array.get $buckets (local.get $new) (local.get $at)))
          (array.set $buckets (local.get $new) (local.get $at) (local.get $entry))
          (local.set $entry (local.get $next))
          (br $chain)))
      (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (array.len (local.get $old)))))
    (struct.set $map $buckets (local.get $map) (local.get $new)))

  ;; adds to the value of the key
  (func $add (param $map (ref $map)) (param $key i64) (param $value i64)
    (local $entry (ref null $entry)) (local $buckets (ref $buckets)) (local $at i32)
    (local.set $entry (call $find (local.get $map) (local.get $key)))
    (if (i32.eqz (ref.is_null (local.get $entry)))
      (then
        (struct.set $entry $value (local.get $entry)
          (i64.add (struct.get $entry $value (local.get $entry)) (local.get $value)))
        (return)))
    (if (i32.ge_u (struct.get $map $size (local.get $map)) (array.len (struct.get $map $buckets (local.get $map))))
      (then (call $grow (local.get $map))))
    (local.set $buckets (struct.get $map $buckets (local.get $map)))
    (local.set $at (call $bucket (local.get $buckets) (local.get $key)))
    (array.set $buckets (local.get $buckets) (local.get $at)
      (struct.new $entry (array.get $buckets (local.get $buckets) (local.get $at)) (local.get $key) (local.get $value)))
    (struct.set $map $size (local.get $map) (i32.add (struct.get $map $size (local.get $map)) (i32.const 1))))

  (func (export "run") (param $n i32) (result i64)
    (local $map (ref $map)) (local $seed i64) (local $i i32) (local $sum i64) (local $entry (ref null $entry))
    (local.set $map (struct.new $map (array.new_default $buckets (i32.const 8)) (i32.const 0)))
    (local.set $seed (i64.const 12345))
    (loop $fill
      (local.set $seed (i64.add (i64.mul (local.get $seed) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
      (call $add (local.get $map)
        (i64.rem_u (i64.shr_u (local.get $seed) (i64.const 20)) (i64.extend_i32_u (local.get $n)))
        (i64.extend_i32_u (local.get $i)))
      (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.mul (local.get $n) (i32.const 3)))))
    (local.set $i (i32.const 0))
    (loop $look
      (local.set $entry (call $find (local.get $map) (i64.extend_i32_u (local.get $i))))
      (if (i32.eqz (ref.is_null (local.get $entry)))
        (then (local.set $sum (i64.xor (i64.mul (local.get $sum) (i64.const 31)) (struct.get $entry $value (local.get $entry))))))
      (br_if $look (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.mul (local.get $n) (i32.const 2)))))
    (i64.add (local.get $sum) (i64.extend_i32_u (struct.get $map $size (local.get $map))))))
