;; Loops through a branch table, with a loop inside a loop.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $n i32)
      (loop $outer
        (loop $inner
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_table $inner $outer $inner $outer (i32.and (local.get $n) (i32.const 3)))))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
