;; Annotations that the tools give a meaning: names and custom sections, and the places where they may stand.
(module $m (@name "another name") (func $f (@name "λ") (export "f") (result i32) (i32.const 1)) (tag (@name "t")))
(assert_return (invoke "f") (i32.const 1))
(module (@custom "here" (before type) "bytes") (func) (@custom "there" (after last)))
(assert_malformed_custom (module quote "(module (@name \"a\") (@name \"b\"))") "@name annotation: multiple module")
(assert_malformed_custom (module quote "(func (nop (@name \"a\")))") "misplaced @name annotation")
(assert_malformed_custom (module quote "(module (func (@custom \"a\")))") "misplaced @custom annotation")
(assert_malformed_custom (module quote "(module (@custom \"a\" (before nothing)))") "@custom annotation: malformed section kind")
;; others mean nothing here
(module (@any (thing (at "all"))) (func (@metadata.code.branch_hint "\01")))
