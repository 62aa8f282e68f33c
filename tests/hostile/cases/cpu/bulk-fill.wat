;; Fills its memory again and again: one instruction for the engine, much work for the machine.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (drop (memory.grow (i32.const 200)))
      (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 13000000)) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
