;; Computes in calls of functions only, without a loop.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func $twice (param i32)
      (if (local.get 0) (then
        (call $twice (i32.sub (local.get 0) (i32.const 1)))
        (call $twice (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $twice (i32.const 60))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
