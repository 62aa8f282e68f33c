;; Divides in a loop: the slowest instructions there are.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $n i64)
      (local.set $n (i64.const -1))
      (loop $l
        (local.set $n (i64.or (i64.div_u (i64.const -1) (local.get $n)) (i64.const 1)))
        (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
