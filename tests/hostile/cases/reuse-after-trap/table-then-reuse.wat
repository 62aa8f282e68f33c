;; Crosses its limit of tables at its first call; the next call of the same component is answered.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 1 funcref)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (if (i32.eq (local.get 3) (i32.const 2)) (then (loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
