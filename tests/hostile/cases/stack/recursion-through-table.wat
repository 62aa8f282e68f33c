;; Calls itself through a table for ever.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 1 funcref)
    (type $f (func (param i32)))
    (func $deep (type $f) (call_indirect $t (type $f) (local.get 0) (i32.const 0)) (drop (i32.load (i32.const 0))))
    (elem (i32.const 0) $deep)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $deep (i32.const 1))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
