;; Grows its memory page by page.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l (drop (memory.grow (i32.const 1))) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
