;; Runs into its deadline at its first call; the next call of the same component is answered.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (if (i32.eq (local.get 3) (i32.const 2)) (then (loop $l (br $l))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
