;; Calls itself for ever.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func $deep (param i64) (call $deep (i64.add (local.get 0) (i64.const 1))) (drop (i64.load (i32.const 0))))
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $deep (i64.const 0))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
