;; Loops of every shape and nesting. Under the tier that compiles what is hot, with everything taken for hot, machine
;; code takes over at the first branch back: at the innermost loop, or at one around it whose inner loops had no turn.

(module
  (memory (export "memory") 1)
  (func (export "one") (param $n i32) (result i32)
    (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (local.get $n)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; the outer loop writes what the inner ones only read, and the other way round
  (func (export "three") (param $n i32) (result i64)
    (local $i i32) (local $j i32) (local $k i32) (local $mix i64) (local $seen i64)
    (loop $a
      (local.set $mix (i64.add (i64.mul (local.get $mix) (i64.const 31)) (i64.extend_i32_u (local.get $i))))
      (local.set $j (i32.const 0))
      (loop $b
        (local.set $k (i32.const 0))
        (loop $c
          (local.set $seen (i64.add (i64.rotl (local.get $seen) (i64.const 7))
            (i64.xor (local.get $mix) (i64.extend_i32_u (i32.add (i32.mul (local.get $j) (i32.const 3)) (local.get $k))))))
          (br_if $c (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (local.get $n))))
        (local.set $mix (i64.xor (local.get $mix) (local.get $seen)))
        (br_if $b (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $n))))
      (br_if $a (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (i64.xor (local.get $mix) (local.get $seen)))

  ;; the inner loop has its first turn back in the outer loop's third
  (func (export "late") (param $n i32) (result i32)
    (local $i i32) (local $j i32) (local $sum i32)
    (loop $outer
      (local.set $j (i32.const 0))
      (loop $inner
        (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
        (br_if $inner (i32.and (i32.gt_u (local.get $i) (i32.const 2))
                               (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $i)))))
      (br_if $outer (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $sum))

  ;; in either arm of an if, which may itself be in a loop
  (func (export "arms") (param $first i32) (param $n i32) (result i32)
    (local $i i32) (local $sum i32)
    (if (local.get $first)
      (then
        (loop $l
          (local.set $sum (i32.add (local.get $sum) (i32.const 3)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))))
      (else
        (loop $l
          (local.set $sum (i32.sub (local.get $sum) (i32.const 5)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
        (local.set $sum (i32.mul (local.get $sum) (i32.const 2)))))
    (i32.add (local.get $sum) (local.get $i)))
  (func (export "arms_in_loop") (param $n i32) (result i32)
    (local $i i32) (local $j i32) (local $sum i32)
    (loop $o
      (local.set $j (i32.const 0))
      (if (i32.and (local.get $i) (i32.const 1))
        (then
          (loop $l
            (local.set $sum (i32.add (local.get $sum) (local.get $j)))
            (br_if $l (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $i)))))
        (else
          (block $out
            (loop $l
              (local.set $sum (i32.xor (local.get $sum) (i32.shl (local.get $j) (i32.const 4))))
              (br_if $out (i32.gt_u (local.get $j) (i32.const 6)))
              (br_if $l (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $i)))))))
      (br_if $o (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $sum))

  ;; operands wait below a loop; some were pushed between two loops
  (func (export "below") (param $n i32) (result i64)
    (local $i i32)
    (local.get $n)
    (i64.const 1000000007)
    (f64.const 2.5)
    (loop $l
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (i64.trunc_f64_s)
    (i64.mul)
    (i64.add (i64.extend_i32_u (local.get $i)))
    (local.set $i (i32.wrap_i64))
    (i64.add (i64.extend_i32_u) (i64.extend_i32_u (local.get $i))))
  (func (export "between") (param $n i32) (result i32)
    (local $i i32) (local $j i32) (local $sum i32)
    (loop $a (result i32)
      (i32.mul (local.get $i) (i32.const 10))
      (local.set $j (i32.const 0))
      (loop $b
        (br_if $b (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $n))))
      (local.set $sum (i32.add (local.get $sum)))
      (br_if $a (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))
      (local.get $sum)))
  (func (export "between_three") (param $n i32) (result i32)
    (local $i i32) (local $j i32) (local $k i32) (local $sum i32)
    (loop $a (result i32)
      (i32.mul (local.get $i) (i32.const 10))
      (local.set $j (i32.const 0))
      (loop $b
        (i32.add (local.get $j) (i32.const 7))
        (local.set $k (i32.const 0))
        (loop $c
          (br_if $c (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (local.get $n))))
        (local.set $sum (i32.add (local.get $sum)))
        (br_if $b (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $n))))
      (local.set $sum (i32.add (local.get $sum)))
      (br_if $a (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))
      (local.get $sum)))

  ;; loops with parameters, and results of several types
  (func (export "parameters") (param $n i32) (result i32 i64 f32 f64)
    (local.get $n) (i64.const 1) (f32.const 0.5) (f64.const -1)
    (loop $l (param i32 i64 f32 f64) (result i32 i64 f32 f64)
      (f64.mul (f64.const -1.5))
      (call $rotate)
      (br_if $l (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0)))))
  (func $rotate (param i32 i64 f32 f64) (result i32 i64 f32 f64)
    (i32.add (local.get 0) (i32.const 3)) (i64.mul (local.get 1) (i64.const 3))
    (f32.add (local.get 2) (f32.const 0.25)) (local.get 3))
  (func (export "inner_parameters") (param $n i32) (result i32)
    (local $i i32)
    (loop $o (result i32)
      (i32.const 1)
      (local.get $i)
      (loop $l (param i32 i32) (result i32 i32)
        (i32.sub (i32.const 1))
        (if (param i32 i32) (result i32 i32) (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))
          (then (br $l (i32.add (i32.const 2))))))
      (i32.add)
      (br_if $o (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5)))))

  ;; a vector, a NaN with its bits, and references among the locals
  (func (export "vector") (param $n i32) (result i32)
    (local $v v128) (local $one v128)
    (local.set $one (v128.const i32x4 1 2 3 4))
    (loop $l
      (local.set $v (i32x4.add (local.get $v) (local.get $one)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (i32x4.extract_lane 0 (local.get $v)) (i32.mul (i32x4.extract_lane 3 (local.get $v)) (i32.const 100))))
  (func (export "nan") (param $n i32) (result i32)
    (local $f f32)
    (local.set $f (f32.const nan:0x2abcde))
    (loop $l
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.reinterpret_f32 (local.get $f)))
  (func (export "reference") (param $n i32) (param $r externref) (result externref)
    (local $f funcref)
    (local.set $f (ref.func $rotate))
    (loop $l
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (if (result externref) (ref.is_null (local.get $f)) (then (ref.null extern)) (else (local.get $r))))
  (elem declare func $rotate)

  ;; by other ways back: br, br_table, out of inner blocks
  (func (export "ways") (param $n i32) (result i32)
    (local $sum i32)
    (loop $l
      (block $two
        (block $one
          (br_table $one $two $l (i32.rem_u (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 3))))
        (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
        (if (i32.gt_s (local.get $n) (i32.const 0)) (then (br $l)))
        (return (local.get $sum)))
      (local.set $sum (i32.add (local.get $sum) (i32.const 100)))
      (br $l))
    (unreachable))

  ;; what ends them: a return out of all of them, a trap in the tenth turn, a call that traps, a tail call
  (func (export "return_out") (param $n i32) (result i32)
    (local $i i32) (local $j i32)
    (loop $a
      (local.set $j (i32.const 0))
      (loop $b
        (if (i32.eq (i32.mul (local.get $i) (local.get $j)) (local.get $n))
          (then (return (i32.add (i32.mul (local.get $i) (i32.const 1000)) (local.get $j)))))
        (br_if $b (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 20))))
      (br_if $a (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
    (i32.const -1))
  (func (export "trap") (param $n i32)
    (loop $l
      (drop (i32.load (i32.shl (local.get $n) (i32.const 12))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $l)))
  (func (export "divide") (param $n i32) (result i32)
    (loop $l
      (drop (i32.div_u (i32.const 100) (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (br $l))
    (unreachable))
  (func (export "deep") (param $n i32) (result i32)
    (loop $l
      (if (i32.eqz (local.get $n)) (then (return (call $again (i32.const 0)))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $l))
    (unreachable))
  (func $again (param i32) (result i32) (i32.add (call $again (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func (export "tail") (param $n i32) (result i32)
    (local $i i32)
    (loop $l
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (return_call $finish (local.get $i) (local.get $n)))
  (func $finish (param i32 i32) (result i32) (i32.mul (local.get 0) (local.get 1)))
  (func (export "recursive") (param $n i32) (result i32)
    (call $recurse (local.get $n)))
  (func $recurse (param $n i32) (result i32)
    (local $i i32) (local $sum i32)
    (if (i32.eqz (local.get $n)) (then (return (i32.const 1))))
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $recurse (i32.sub (local.get $n) (i32.const 1)))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $sum))

  ;; a loop right inside of a loop: both heads are one place
  (func (export "same_head") (param $n i32) (result i32)
    (local $i i32) (local $sum i32)
    (loop $a
      (loop $b
        (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
        (br_if $b (i32.and (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3)))
        (br_if $a (i32.lt_u (local.get $i) (local.get $n)))))
    (local.get $sum))

  ;; memory that the interpreter wrote is what the machine code finds
  (func (export "memory_goes_on") (param $n i32) (result i32)
    (local $i i32)
    (loop $l
      (i32.store (i32.shl (local.get $i) (i32.const 2))
        (i32.add (if (result i32) (local.get $i)
                   (then (i32.load (i32.shl (i32.sub (local.get $i) (i32.const 1)) (i32.const 2))))
                   (else (i32.const 1)))
                 (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (i32.load (i32.shl (i32.sub (local.get $n) (i32.const 1)) (i32.const 2)))))

(assert_return (invoke "one" (i32.const 1)) (i32.const 1))
(assert_return (invoke "one" (i32.const 100)) (i32.const 5050))
(assert_return (invoke "one" (i32.const 10)) (i32.const 55))
(assert_return (invoke "three" (i32.const 5)) (i64.const -2563769791661529617))
(assert_return (invoke "three" (i32.const 2)) (i64.const 339673729))
(assert_return (invoke "late" (i32.const 8)) (i32.const 28))
(assert_return (invoke "arms" (i32.const 1) (i32.const 7)) (i32.const 28))
(assert_return (invoke "arms" (i32.const 0) (i32.const 7)) (i32.const -63))
(assert_return (invoke "arms_in_loop" (i32.const 12)) (i32.const 125))
(assert_return (invoke "below" (i32.const 9)) (i64.const 2000000032))
(assert_return (invoke "between" (i32.const 6)) (i32.const 150))
(assert_return (invoke "between_three" (i32.const 4)) (i32.const 196))
(assert_return (invoke "parameters" (i32.const 4)) (i32.const 16) (i64.const 81) (f32.const 1.5) (f64.const -5.0625))
(assert_return (invoke "inner_parameters" (i32.const 9)) (i32.const 4))
(assert_return (invoke "vector" (i32.const 10)) (i32.const 4010))
(assert_return (invoke "nan" (i32.const 3)) (i32.const 0x7faabcde))
(assert_return (invoke "reference" (i32.const 3) (ref.extern 7)) (ref.extern 7))
(assert_return (invoke "ways" (i32.const 20)) (i32.const 707))
(assert_return (invoke "return_out" (i32.const 42)) (i32.const 3014))
(assert_return (invoke "return_out" (i32.const 1000)) (i32.const -1))
(assert_trap (invoke "trap" (i32.const 3)) "out of bounds memory access")
(assert_trap (invoke "trap" (i32.const 15)) "out of bounds memory access")
(assert_trap (invoke "divide" (i32.const 30)) "integer divide by zero")
(assert_exhaustion (invoke "deep" (i32.const 10)) "call stack exhausted")
(assert_return (invoke "tail" (i32.const 11)) (i32.const 121))
(assert_return (invoke "recursive" (i32.const 5)) (i32.const 120))
(assert_return (invoke "same_head" (i32.const 30)) (i32.const 32))
(assert_return (invoke "memory_goes_on" (i32.const 100)) (i32.const 4951))
