;; Wants a 64-bit memory: it is off.
(component
  ;; @tools
  (core module $other (memory $s i64 1))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
