;; Grows four memories in turn: none alone is too large.
(component
  ;; @tools
  (core module $grower
    (memory 0)
    (func (export "grow") (drop (memory.grow (i32.const 8)))))
  (core instance $g0 (instantiate $grower))
  (core instance $g1 (instantiate $grower))
  (core instance $g2 (instantiate $grower))
  (core instance $g3 (instantiate $grower))
  (core module $m
    (import "g0" "grow" (func $g0))
    (import "g1" "grow" (func $g1))
    (import "g2" "grow" (func $g2))
    (import "g3" "grow" (func $g3))
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l (call $g0) (call $g1) (call $g2) (call $g3) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m (with "g0" (instance $g0)) (with "g1" (instance $g1)) (with "g2" (instance $g2)) (with "g3" (instance $g3))))
  ;; @tool
)
