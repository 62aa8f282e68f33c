;; Reads far outside of its memory.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (drop (i32.load offset=4294967295 (i32.const -1)))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
