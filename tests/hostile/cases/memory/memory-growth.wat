;; Grows its memory and touches every page.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (loop $l
        (local.set $at (i32.shl (memory.grow (i32.const 16)) (i32.const 16)))
        (memory.fill (local.get $at) (i32.const 1) (i32.const 1048576))
        (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
