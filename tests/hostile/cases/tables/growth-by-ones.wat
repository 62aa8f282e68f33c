;; Grows a table element by element.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 1 funcref)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l (drop (table.grow $t (ref.null func) (i32.const 1))) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
