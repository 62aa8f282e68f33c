;; Calls itself for ever while the host hands it its arguments.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @ok
    (func $deep (param i32) (call $deep (local.get 0)) (drop (i32.load (i32.const 0))))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $deep (i32.const 1)) (unreachable))
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
