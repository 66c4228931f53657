;; What follows a call is moved to where the CPU likes its jumps: the call's place stays.
(module
  (memory 1)
  (func $trap (param i32) (result i64)
    local.get 0
    i32.load offset=65536
    i64.extend_i32_u)
  (func (export "f0") (param i32 i32)
    loop
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f1") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f2") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f3") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f4") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f5") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f6") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f7") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f8") (param i32 i32)
    loop
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f9") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f10") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f11") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f12") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f13") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f14") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f15") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f16") (param i32 i32)
    loop
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f17") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f18") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f19") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f20") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f21") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f22") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
  (func (export "f23") (param i32 i32)
    loop
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      local.get 1
      i32.const 3
      i32.add
      local.set 1
      i32.const 0
      local.get 1
      i32.store8
      i32.const 0
      local.get 1
      i32.store8
      local.get 0
      call $trap
      i64.const 4
      i64.lt_u
      br_if 0
    end)
)
