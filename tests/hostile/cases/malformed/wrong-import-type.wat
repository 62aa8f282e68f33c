;; Imports a known interface with another type.
(component
  ;; @tools
  (import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result string)))))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
