;; Loops while it is instantiated.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func $start (loop $l (br $l)))
    (start $start)
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
