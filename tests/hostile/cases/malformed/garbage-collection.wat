;; Wants garbage-collected values: they are off.
(component
  ;; @tools
  (core module $other (type $s (struct (field i32))))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
