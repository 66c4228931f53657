;; The index becomes a constant only when the loop's phi is found to be trivial: its register was the table's.
(module
  (func (export "f") (param i32) (result i32) (local i32)
    block
      loop
        local.get 1
        local.set 1
        block
          local.get 1
          br_table 2 0 0 2 0 0 1 1
        end
      end
    end
    i32.const 5))
