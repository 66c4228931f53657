;; Strings as arrays of bytes: numbers to text, joined, split into words, compared, hashed, sorted. run(n) = a checksum.
(module
  (type $string (array (mut i8)))
  (type $words (array (mut (ref null $string))))
  (data $alphabet "abcdefghijklmnopqrstuvwxyz0123456789")

  ;; the number in letters
  (func $text (param $n i32) (result (ref $string))
    (local $digits (ref $string)) (local $alphabet (ref $string)) (local $out (ref $string)) (local $at i32)
    (local.set $alphabet (array.new_data $string $alphabet (i32.const 0) (i32.const 36)))
    (local.set $digits (array.new_default $string (i32.const 8)))
    (local.set $at (i32.const 8))
    (loop $more
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (array.set $string (local.get $digits) (local.get $at)
        (array.get_u $string (local.get $alphabet) (i32.rem_u (local.get $n) (i32.const 36))))
      (br_if $more (local.tee $n (i32.div_u (local.get $n) (i32.const 36)))))
    (local.set $out (array.new_default $string (i32.sub (i32.const 8) (local.get $at))))
    (array.copy $string $string (local.get $out) (i32.const 0) (local.get $digits) (local.get $at)
      (i32.sub (i32.const 8) (local.get $at)))
    (local.get $out))

  (func $join (param $a (ref $string)) (param $b (ref $string)) (result (ref $string))
    (local $out (ref $string)) (local $n i32)
    (local.set $n (array.len (local.get $a)))
    (local.set $out (array.new $string (i32.const 32) (i32.add (i32.add (local.get $n) (i32.const 1)) (array.len (local.get $b)))))
    (array.copy $string $string (local.get $out) (i32.const 0) (local.get $a) (i32.const 0) (local.get $n))
    (array.copy $string $string (local.get $out) (i32.add (local.get $n) (i32.const 1)) (local.get $b) (i32.const 0) (array.len (local.get $b)))
    (local.get $out))

  (func $compare (param $a (ref $string)) (param $b (ref $string)) (result i32)
    (local $i i32) (local $n i32) (local $d i32)
    (local.set $n (select (array.len (local.get $a)) (array.len (local.get $b))
      (i32.lt_u (array.len (local.get $a)) (array.len (local.get $b)))))
    (block $same
      (loop $more
        (br_if $same (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $d (i32.sub (array.get_u $string (local.get $a) (local.get $i)) (array.get_u $string (local.get $b) (local.get $i))))
        (if (local.get $d) (then (return (local.get $d))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $more)))
    (i32.sub (array.len (local.get $a)) (array.len (local.get $b))))

  (func $hash (param $s (ref $string)) (param $h i64) (result i64)
    (local $i i32)
    (block $over
      (loop $more
        (br_if $over (i32.ge_u (local.get $i) (array.len (local.get $s))))
        (local.set $h (i64.mul (i64.xor (local.get $h) (i64.extend_i32_u (array.get_u $string (local.get $s) (local.get $i))))
          (i64.const 1099511628211)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $more)))
    (local.get $h))

  (func $word (param $words (ref $words)) (param $i i32) (result (ref $string))
    (ref.as_non_null (array.get $words (local.get $words) (local.get $i))))

  ;; a shell sort: moves references, compares strings
  (func $sort (param $words (ref $words))
    (local $gap i32) (local $i i32) (local $j i32) (local $x (ref $string))
    (local.set $gap (i32.div_u (array.len (local.get $words)) (i32.const 2)))
    (loop $gaps
      (local.set $i (local.get $gap))
      (loop $each
        (local.set $x (call $word (local.get $words) (local.get $i)))
        (local.set $j (local.get $i))
        (block $placed
          (loop $down
            (br_if $placed (i32.lt_u (local.get $j) (local.get $gap)))
            (br_if $placed (i32.le_s (call $compare (call $word (local.get $words) (i32.sub (local.get $j) (local.get $gap))) (local.get $x)) (i32.const 0)))
            (array.set $words (local.get $words) (local.get $j) (array.get $words (local.get $words) (i32.sub (local.get $j) (local.get $gap))))
            (local.set $j (i32.sub (local.get $j) (local.get $gap)))
            (br $down)))
        (array.set $words (local.get $words) (local.get $j) (local.get $x))
        (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (array.len (local.get $words)))))
      (br_if $gaps (local.tee $gap (i32.div_u (local.get $gap) (i32.const 2))))))

  (func (export "run") (param $n i32) (result i64)
    (local $words (ref $words)) (local $i i32) (local $seed i32) (local $h i64)
    (local.set $words (array.new_default $words (local.get $n)))
    (local.set $seed (i32.const 1))
    (loop $fill
      (local.set $seed (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
      (array.set $words (local.get $words) (local.get $i)
        (call $join (call $text (i32.shr_u (local.get $seed) (i32.const 12))) (call $text (local.get $i))))
      (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (call $sort (local.get $words))
    (local.set $h (i64.const 0xCBF29CE484222325))
    (local.set $i (i32.const 0))
    (loop $sum
      (local.set $h (call $hash (call $word (local.get $words) (local.get $i)) (local.get $h)))
      (br_if $sum (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $h)))
