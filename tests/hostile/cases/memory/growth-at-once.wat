;; Asks for all the memory there is in one step.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (drop (memory.grow (i32.const 65535)))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
