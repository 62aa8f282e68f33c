;; Computes for ever.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
