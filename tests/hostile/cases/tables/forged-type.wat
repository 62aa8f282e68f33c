;; Calls a function through a table as one of another type.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t 1 funcref)
    (type $f (func (param i64 i64 i64)))
    (func $other)
    (elem (i32.const 0) $other)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call_indirect $t (type $f) (i64.const 1) (i64.const 2) (i64.const 3) (i32.const 0))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
