(module
  (type (;0;) (func (param i32 i32) (result i32)))
  (memory (;0;) 2)
  (global $__stack_pointer (;0;) (mut i32) (i32.const 66560))
  (export "memory" (memory 0))
  (export "percent" (func $percent))
  (func $percent (;0;) (type 0) (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.div_s
    i32.const 100
    i32.mul
    i32.const 1
    i32.or)
  (@custom ".debug_info" (after code) "(\00\00\00\04\00\00\00\00\00\04\01\00\00\00\00\06\00\00\00\00\00\00\00(\d1T\b8\9e9_w\02\00\00\00\0e\00\00\00\00\00\00\00")
  (@custom ".debug_abbrev" (after code) "\01\11\00\10\17\1b\0e\b4B\19\b0B\0e\b1B\07\11\01\12\06\b3B\17\00\00\00")
  (@custom ".debug_gnu_pubnames" (after code) "2\00\00\00\02\00\00\00\00\00,\00\00\00Q\00\00\000percent\00\19\00\00\00\b0divide\007\00\00\00\b0ratio\00\00\00\00\00")
  (@custom ".debug_gnu_pubtypes" (after code) "\17\00\00\00\02\00\00\00\00\00,\00\00\003\00\00\00\90int\00\00\00\00\00")
  (@custom ".debug_line" (after code)
    "B\00\00\00\04\00\1f\00\00\00\01\01\01\fb\0e\0d\00\01\01\01\01\00\00\00\01\00\00\01\00ratio.c\00\00\00\00\00\00\05\02\02\00\00\00\1a\05\0e\0a\03y \05\10\86\05\1f@\05\05\06"
    " \02\01\00\01\01")
  (@custom ".debug_str" (after code) "o.dwo\00/src\00")
  (@custom ".debug_addr" (after code) "\02\00\00\00")
  (@custom "producers" (after last) "\02\08language\01\03C99\00\0cprocessed-by\01\0cDebian clang\0614.0.6"))
