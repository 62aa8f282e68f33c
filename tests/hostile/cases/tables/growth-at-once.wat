;; Asks for four thousand million elements in one step.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 1 funcref)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (drop (table.grow $t (ref.null func) (i32.const -2)))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
