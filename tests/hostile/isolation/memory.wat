;; Called with "{}" it fills its memory, old and grown, with a secret; called with anything else it fails
;; where it finds a byte that it did not write itself.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 4)
    (table $t 4 funcref)
    (global $calls (mut i32) (i32.const 0))
    ;; @realloc
    ;; @ok
    (elem declare func $once)
    (func $once)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      ;; Nothing of an earlier call is left: a global, a table.
      (if (global.get $calls) (then (unreachable)))
      (global.set $calls (i32.const 1))
      (if (i32.eqz (ref.is_null (table.get $t (i32.const 3)))) (then (unreachable)))
      (table.set $t (i32.const 3) (ref.func $once))
      (drop (memory.grow (i32.const 60)))
      (if (i32.eq (local.get 3) (i32.const 2))
        (then
          (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const 4128768))
          (return (i32.const 16))))
      (local.set $at (i32.const 65536))
      (loop $l
        (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
        (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 4194304))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
