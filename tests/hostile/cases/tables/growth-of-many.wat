;; Grows four tables in turn: their elements count together.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (table $t0 1 funcref)
    (table $t1 1 funcref)
    (table $t2 1 funcref)
    (table $t3 1 funcref)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l
        (drop (table.grow $t0 (ref.null func) (i32.const 700)))
        (drop (table.grow $t1 (ref.null func) (i32.const 700)))
        (drop (table.grow $t2 (ref.null func) (i32.const 700)))
        (drop (table.grow $t3 (ref.null func) (i32.const 700)))
        (br $l))
      (unreachable)))
  (core instance $i (instantiate $m))
  ;; @tool
)
