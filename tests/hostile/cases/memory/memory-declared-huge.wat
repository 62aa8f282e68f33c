;; Declares more memory than any call could get.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1000)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
