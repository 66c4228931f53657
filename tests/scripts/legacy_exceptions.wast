;; The exception handling that compilers emitted before try_table: try, catch, catch_all, rethrow, delegate.
(module
  (tag $none)
  (tag $i (param i32))
  (tag $pair (param i32 i64))
  (tag $vector (param v128 i32))
  (tag $other)

  (func $throw_none (throw $none))
  (func $throw_i (param i32) (throw $i (local.get 0)))
  (func $maybe (param i32)
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $none)))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $i (i32.const 22))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $pair (i32.const 3) (i64.const 33))))
    (if (i32.eq (local.get 0) (i32.const 4)) (then (throw $other))))

  (func (export "which") (param i32) (result i32)
    (try (result i32)
      (do (call $maybe (local.get 0)) (i32.const 100))
      (catch $none (i32.const 1))
      (catch $i)
      (catch $pair (drop) (i32.add (i32.const 1000)))
      (catch_all (i32.const -1))))

  (func (export "values") (result i32 i64)
    (try (result i32 i64)
      (do (throw $pair (i32.const 7) (i64.const 8)))
      (catch $pair)))

  (func (export "vector") (result i32)
    (local i32)
    (try (result i32)
      (do (throw $vector (v128.const i32x4 1 2 3 4) (i32.const 9)))
      (catch $vector
        (local.set 0)
        (i32.add (i32x4.extract_lane 2) (local.get 0)))))

  ;; operands below the try survive it
  (func (export "below") (param i32) (result i32)
    (i32.const 10)
    (local.get 0)
    (try (result i32)
      (do (call $throw_i (i32.const 5)) (i32.const 0))
      (catch $i))
    (i32.mul)
    (i32.add))

  ;; a try with parameters
  (func (export "parameters") (param i32) (result i32)
    (i32.const 3)
    (i32.const 4)
    try (param i32 i32) (result i32)
      i32.add
      local.get 0
      if
        throw $none
      end
    catch $none
      i32.const 77
    end)

  (func (export "rethrow") (param i32) (result i32)
    (try (result i32)
      (do
        (try (result i32)
          (do (call $throw_i (i32.const 40)) (i32.const 0))
          (catch $i
            (drop)
            (if (local.get 0) (then (rethrow 1)))
            (i32.const 1))))
      (catch $i (i32.add (i32.const 2)))))

  ;; the outer exception is thrown again from inside the handler of an inner one
  (func (export "rethrow-outer") (result i32)
    (try (result i32)
      (do
        (try (result i32)
          (do (throw $i (i32.const 6)))
          (catch $i
            (drop)
            (try (result i32)
              (do (throw $none))
              (catch $none (rethrow 1))))))
      (catch $none (i32.const 1))
      (catch $i)))

  (func (export "catch-all-rethrow") (result i32)
    (try (result i32)
      (do
        (try (do (throw $pair (i32.const 11) (i64.const 12)))
          (catch_all (rethrow 0)))
        (i32.const 0))
      (catch $pair (drop))))

  ;; delegate: past the middle try to the outer one
  (func (export "delegate") (result i32)
    try $outer (result i32)
      try $middle (result i32)
        try (result i32)
          throw $none
        delegate $outer
      catch $none
        i32.const 1
      end
    catch $none
      i32.const 2
    end)
  (func (export "delegate-block") (result i32)
    try $outer (result i32)
      block $b (result i32)
        try $middle (result i32)
          try (result i32)
            throw $none
          delegate $b
        catch $none
          i32.const 1
        end
      end
    catch_all
      i32.const 3
    end)
  (func $to-caller
    try $here
      try
        (throw $i (i32.const 9))
      delegate 1
    catch_all
    end)
  (func (export "delegate-caller") (result i32)
    (try (result i32) (do (call $to-caller) (i32.const 0)) (catch $i)))

  ;; a branch out of a body and out of a handler
  (func (export "branch") (param i32) (result i32)
    (block $out (result i32)
      (try (result i32)
        (do
          (br_if $out (i32.const 5) (local.get 0))
          (drop)
          (throw $none))
        (catch $none (br $out (i32.const 6))))))

  ;; locals keep what they were given before the throw
  (func (export "locals") (result i32)
    (local i32)
    (try
      (do (local.set 0 (i32.const 1)) (call $throw_none) (local.set 0 (i32.const 2)))
      (catch_all))
    (local.get 0))

  (func (export "loop") (param i32) (result i32)
    (local $n i32)
    (loop $again
      (try
        (do (throw $i (i32.const 1)))
        (catch $i (local.set $n (i32.add (local.get $n)))))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $n))

  (func (export "uncaught") (throw $i (i32.const 1)))
  (func (export "handler-throws")
    (try (do (throw $none)) (catch $none (throw $other)) (catch $other)))
  (func (export "try-alone") (try (do (throw $none))))
  (func $deep (param i32)
    (if (i32.eqz (local.get 0)) (then (throw $i (i32.const 123))))
    (call $deep (i32.sub (local.get 0) (i32.const 1))))
  (func (export "deep") (param i32) (result i32)
    (try (result i32) (do (call $deep (local.get 0)) (i32.const 0)) (catch $i)))
)
(assert_return (invoke "which" (i32.const 0)) (i32.const 100))
(assert_return (invoke "which" (i32.const 1)) (i32.const 1))
(assert_return (invoke "which" (i32.const 2)) (i32.const 22))
(assert_return (invoke "which" (i32.const 3)) (i32.const 1003))
(assert_return (invoke "which" (i32.const 4)) (i32.const -1))
(assert_return (invoke "values") (i32.const 7) (i64.const 8))
(assert_return (invoke "vector") (i32.const 12))
(assert_return (invoke "below" (i32.const 6)) (i32.const 40))
(assert_return (invoke "parameters" (i32.const 0)) (i32.const 7))
(assert_return (invoke "parameters" (i32.const 1)) (i32.const 77))
(assert_return (invoke "rethrow" (i32.const 0)) (i32.const 1))
(assert_return (invoke "rethrow" (i32.const 1)) (i32.const 42))
(assert_return (invoke "rethrow-outer") (i32.const 6))
(assert_return (invoke "catch-all-rethrow") (i32.const 11))
(assert_return (invoke "delegate") (i32.const 2))
(assert_return (invoke "delegate-block") (i32.const 3))
(assert_return (invoke "delegate-caller") (i32.const 9))
(assert_return (invoke "branch" (i32.const 1)) (i32.const 5))
(assert_return (invoke "branch" (i32.const 0)) (i32.const 6))
(assert_return (invoke "locals") (i32.const 1))
(assert_return (invoke "loop" (i32.const 100000)) (i32.const 100000))
(assert_exception (invoke "uncaught"))
(assert_exception (invoke "handler-throws"))
(assert_exception (invoke "try-alone"))
(assert_return (invoke "deep" (i32.const 1000)) (i32.const 123))

(assert_invalid (module (func (try (do (rethrow 0)) (catch_all)))) "invalid rethrow label")
(assert_invalid (module (tag (param i32)) (func (try (do) (catch 0)))) "type mismatch")
