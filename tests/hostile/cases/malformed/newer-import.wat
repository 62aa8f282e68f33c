;; Imports a newer WASI.
(component
  ;; @tools
  (import "wasi:random/random@0.3.0" (instance (export "get-random-u64" (func (result u64)))))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
