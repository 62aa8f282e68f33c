;; Fills a table again and again.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 9000 funcref)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 9000)) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
