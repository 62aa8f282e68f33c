;; Copies its memory again and again: fuel is charged by size, not by instruction.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (drop (memory.grow (i32.const 200)))
      (loop $l (memory.copy (i32.const 0) (i32.const 6500000) (i32.const 6500000)) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
