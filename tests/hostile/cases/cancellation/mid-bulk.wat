;; Is cancelled while it fills its memory; the next call is answered.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (drop (memory.grow (i32.const 100)))
      (if (i32.eq (local.get 3) (i32.const 2)) (then (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 6500000)) (br $l))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
