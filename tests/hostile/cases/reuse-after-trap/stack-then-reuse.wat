;; Overflows its stack at its first call; the next call of the same component is answered.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func $deep (param i32) (call $deep (local.get 0)) (drop (i32.load (i32.const 0))))
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (if (i32.eq (local.get 3) (i32.const 2)) (then (call $deep (i32.const 1))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
