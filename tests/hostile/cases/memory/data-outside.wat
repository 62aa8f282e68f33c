;; Has data that does not fit its memory.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (data (i32.const 65530) "0123456789")
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
