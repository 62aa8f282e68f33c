;; Asks a hundred thousand times for more memory than it declared itself: it is refused each time, and lives.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1 2)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $n i32)
      (loop $l
        (if (i32.ne (memory.grow (i32.const 5)) (i32.const -1)) (then (unreachable)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $n) (i32.const 100000))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
