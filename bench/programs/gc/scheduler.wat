;; Tasks of several kinds pass packets to each other, as an operating system's do: objects with a method each, found by a
;; typed function reference; queues; states that change; casts of a task's private data. run(rounds) = a checksum.
(module
  (rec
    (type $method (func (param (ref $task) (ref null $packet)) (result (ref null $task))))
    (type $packet (struct (field $next (mut (ref null $packet))) (field $kind i32) (field $to (mut i32))
                          (field $value (mut i32)) (field $bytes (ref $bytes))))
    (type $bytes (array (mut i8)))
    (type $data (sub (struct)))
    (type $task (struct (field $id i32) (field $next (mut (ref null $task))) (field $queue (mut (ref null $packet)))
                        (field $waiting (mut i32)) (field $run (ref $method)) (field $data (ref null $data)))))
  (type $idler (sub final $data (struct (field $left (mut i32)) (field $bits (mut i32)))))
  (type $worker (sub final $data (struct (field $turn (mut i32)) (field $letter (mut i32)))))
  (type $handler (sub final $data (struct (field $work (mut (ref null $packet))) (field $device (mut (ref null $packet))))))
  (type $device (sub final $data (struct (field $pending (mut (ref null $packet))))))
  (type $tasks (array (mut (ref null $task))))

  (global $tasks (mut (ref null $tasks)) (ref.null $tasks))
  (global $first (mut (ref null $task)) (ref.null $task))
  (global $current (mut (ref null $task)) (ref.null $task))
  (global $queued (mut i64) (i64.const 0))
  (global $held (mut i64) (i64.const 0))
  (global $sum (mut i64) (i64.const 0))
  (elem declare func $idle $work $handle $drive)

  ;; the packet behind the last one of the list
  (func $append (param $packet (ref $packet)) (param $list (ref null $packet)) (result (ref $packet))
    (local $at (ref $packet))
    (struct.set $packet $next (local.get $packet) (ref.null $packet))
    (block $empty
      (local.set $at (br_on_null $empty (local.get $list)))
      (block $end
        (loop $more
          (local.set $at (br_on_null $end (struct.get $packet $next (local.get $at))))
          (br $more)))
      (struct.set $packet $next (local.get $at) (local.get $packet))
      (return (ref.as_non_null (local.get $list))))
    (local.get $packet))

  (func $task (param $id i32) (result (ref $task))
    (ref.as_non_null (array.get $tasks (global.get $tasks) (local.get $id))))

  (func $add (param $id i32) (param $queue (ref null $packet)) (param $run (ref $method)) (param $data (ref null $data))
    (global.set $first (struct.new $task (local.get $id) (global.get $first) (local.get $queue) (i32.const 0)
      (local.get $run) (local.get $data)))
    (array.set $tasks (global.get $tasks) (local.get $id) (global.get $first)))

  (func $packet (param $next (ref null $packet)) (param $to i32) (param $kind i32) (result (ref $packet))
    (struct.new $packet (local.get $next) (local.get $kind) (local.get $to) (i32.const 0)
      (array.new_default $bytes (i32.const 4))))

  ;; gives the packet to its task, which goes on next
  (func $send (param $packet (ref $packet)) (result (ref null $task))
    (local $task (ref $task)) (local $to i32)
    (local.set $to (struct.get $packet $to (local.get $packet)))
    (local.set $task (call $task (local.get $to)))
    (global.set $queued (i64.add (global.get $queued) (i64.const 1)))
    (struct.set $packet $to (local.get $packet) (struct.get $task $id (ref.as_non_null (global.get $current))))
    (struct.set $task $queue (local.get $task)
      (call $append (local.get $packet) (struct.get $task $queue (local.get $task))))
    (struct.set $task $waiting (local.get $task) (i32.const 0))
    (local.get $task))

  ;; the task that runs waits; the next one goes on
  (func $wait (param $task (ref $task)) (result (ref null $task))
    (global.set $held (i64.add (global.get $held) (i64.const 1)))
    (struct.set $task $waiting (local.get $task) (i32.const 1))
    (struct.get $task $next (local.get $task)))

  (func $release (param $id i32) (result (ref null $task))
    (struct.set $task $waiting (call $task (local.get $id)) (i32.const 0))
    (call $task (local.get $id)))

  (func $idle (type $method) (param $task (ref $task)) (param $packet (ref null $packet)) (result (ref null $task))
    (local $data (ref $idler))
    (local.set $data (ref.cast (ref $idler) (struct.get $task $data (local.get $task))))
    (struct.set $idler $left (local.get $data) (i32.sub (struct.get $idler $left (local.get $data)) (i32.const 1)))
    (if (i32.eqz (struct.get $idler $left (local.get $data)))
      (then (return (ref.null $task))))
    (if (result (ref null $task)) (i32.and (struct.get $idler $bits (local.get $data)) (i32.const 1))
      (then
        (struct.set $idler $bits (local.get $data)
          (i32.xor (i32.shr_u (struct.get $idler $bits (local.get $data)) (i32.const 1)) (i32.const 0xD008)))
        (call $release (i32.const 5)))
      (else
        (struct.set $idler $bits (local.get $data) (i32.shr_u (struct.get $idler $bits (local.get $data)) (i32.const 1)))
        (call $release (i32.const 4)))))

  (func $work (type $method) (param $task (ref $task)) (param $packet (ref null $packet)) (result (ref null $task))
    (local $data (ref $worker)) (local $p (ref $packet)) (local $i i32) (local $letter i32)
    (block $none
      (local.set $p (br_on_null $none (local.get $packet)))
      (local.set $data (ref.cast (ref $worker) (struct.get $task $data (local.get $task))))
      (struct.set $worker $turn (local.get $data) (i32.xor (struct.get $worker $turn (local.get $data)) (i32.const 1)))
      (struct.set $packet $to (local.get $p) (i32.add (i32.const 2) (struct.get $worker $turn (local.get $data))))
      (struct.set $packet $value (local.get $p) (i32.const 0))
      (local.set $letter (struct.get $worker $letter (local.get $data)))
      (loop $letters
        (local.set $letter (i32.rem_u (i32.add (local.get $letter) (i32.const 1)) (i32.const 26)))
        (array.set $bytes (struct.get $packet $bytes (local.get $p)) (local.get $i)
          (i32.add (local.get $letter) (i32.const 65)))
        (br_if $letters (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
      (struct.set $worker $letter (local.get $data) (local.get $letter))
      (return (call $send (local.get $p))))
    (call $wait (local.get $task)))

  (func $handle (type $method) (param $task (ref $task)) (param $packet (ref null $packet)) (result (ref null $task))
    (local $data (ref $handler)) (local $p (ref $packet)) (local $w (ref $packet)) (local $at i32)
    (local.set $data (ref.cast (ref $handler) (struct.get $task $data (local.get $task))))
    (block $none
      (local.set $p (br_on_null $none (local.get $packet)))
      (if (struct.get $packet $kind (local.get $p))
        (then (struct.set $handler $work (local.get $data)
                (call $append (local.get $p) (struct.get $handler $work (local.get $data)))))
        (else (struct.set $handler $device (local.get $data)
                (call $append (local.get $p) (struct.get $handler $device (local.get $data)))))))
    (block $wait
      (local.set $w (br_on_null $wait (struct.get $handler $work (local.get $data))))
      (local.set $at (struct.get $packet $value (local.get $w)))
      (if (i32.lt_u (local.get $at) (i32.const 4))
        (then
          (local.set $p (br_on_null $wait (struct.get $handler $device (local.get $data))))
          (struct.set $handler $device (local.get $data) (struct.get $packet $next (local.get $p)))
          (struct.set $packet $value (local.get $p)
            (array.get_u $bytes (struct.get $packet $bytes (local.get $w)) (local.get $at)))
          (struct.set $packet $value (local.get $w) (i32.add (local.get $at) (i32.const 1)))
          (return (call $send (local.get $p)))))
      (struct.set $handler $work (local.get $data) (struct.get $packet $next (local.get $w)))
      (return (call $send (local.get $w))))
    (call $wait (local.get $task)))

  (func $drive (type $method) (param $task (ref $task)) (param $packet (ref null $packet)) (result (ref null $task))
    (local $data (ref $device)) (local $p (ref $packet))
    (local.set $data (ref.cast (ref $device) (struct.get $task $data (local.get $task))))
    (block $none
      (local.set $p (br_on_null $none (local.get $packet)))
      (struct.set $device $pending (local.get $data) (local.get $p))
      (global.set $sum (i64.add (i64.mul (global.get $sum) (i64.const 31)) (i64.extend_i32_u (struct.get $packet $value (local.get $p)))))
      (return (call $wait (local.get $task))))
    (block $empty
      (local.set $p (br_on_null $empty (struct.get $device $pending (local.get $data))))
      (struct.set $device $pending (local.get $data) (ref.null $packet))
      (return (call $send (local.get $p))))
    (call $wait (local.get $task)))

  (func $schedule
    (local $task (ref $task)) (local $packet (ref null $packet))
    (global.set $current (global.get $first))
    (block $over
      (loop $next
        (local.set $task (br_on_null $over (global.get $current)))
        (if (i32.and (struct.get $task $waiting (local.get $task)) (ref.is_null (struct.get $task $queue (local.get $task))))
          (then
            (global.set $current (struct.get $task $next (local.get $task)))
            (br $next)))
        (struct.set $task $waiting (local.get $task) (i32.const 0))
        (local.set $packet (struct.get $task $queue (local.get $task)))
        (if (i32.eqz (ref.is_null (local.get $packet)))
          (then (struct.set $task $queue (local.get $task) (struct.get $packet $next (local.get $packet)))))
        (global.set $current
          (call_ref $method (local.get $task) (local.get $packet) (struct.get $task $run (local.get $task))))
        (br $next))))

  (func $once
    (global.set $tasks (array.new_default $tasks (i32.const 6)))
    (global.set $first (ref.null $task))
    (call $add (i32.const 0) (ref.null $packet) (ref.func $idle) (struct.new $idler (i32.const 10000) (i32.const 1)))
    (call $add (i32.const 1) (call $packet (call $packet (ref.null $packet) (i32.const 1) (i32.const 1)) (i32.const 1) (i32.const 1))
      (ref.func $work) (struct.new $worker (i32.const 0) (i32.const 0)))
    (call $add (i32.const 2)
      (call $packet (call $packet (call $packet (ref.null $packet) (i32.const 4) (i32.const 0)) (i32.const 4) (i32.const 0)) (i32.const 4) (i32.const 0))
      (ref.func $handle) (struct.new_default $handler))
    (call $add (i32.const 3)
      (call $packet (call $packet (call $packet (ref.null $packet) (i32.const 5) (i32.const 0)) (i32.const 5) (i32.const 0)) (i32.const 5) (i32.const 0))
      (ref.func $handle) (struct.new_default $handler))
    (call $add (i32.const 4) (ref.null $packet) (ref.func $drive) (struct.new_default $device))
    (call $add (i32.const 5) (ref.null $packet) (ref.func $drive) (struct.new_default $device))
    (call $schedule))

  (func (export "run") (param $rounds i32) (result i64)
    (loop $more
      (call $once)
      (br_if $more (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (i64.xor (global.get $sum)
      (i64.add (i64.mul (global.get $queued) (i64.const 1000003)) (global.get $held)))))
