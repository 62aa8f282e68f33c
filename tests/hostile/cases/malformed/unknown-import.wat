;; Imports what this host does not have.
(component
  ;; @tools
  (import "evil:host/shell@1.2.3" (instance (export "run" (func (param "command" string)))))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
