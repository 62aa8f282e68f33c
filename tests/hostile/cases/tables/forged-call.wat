;; Calls through a table with an index outside of it.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 2 funcref)
    (type $f (func))
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call_indirect $t (type $f) (i32.const 123456))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
