;; By the letter in its arguments: `w` fills its memory with canaries and waits, so that all slots are in use at once;
;; `t` then breaks, `d` then runs on; `l` looks for a byte that is not zero in memory that it grew, and waits; `b` does
;; both, to show that looking finds.
(component
  ;; @tools
  ;; @sleep
  (core module $m
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $do i32) (local $at i32)
      (local.set $do (i32.load8_u (i32.add (local.get 2) (i32.const 2))))
      ;; A growth that fails breaks in another way than a canary that is found.
      (if (i32.eq (memory.grow (i32.const 47)) (i32.const -1)) (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
      (if (i32.ne (local.get $do) (i32.const 0x6c)) ;; l
        (then (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const 3080192))))
      (if (i32.or (i32.eq (local.get $do) (i32.const 0x6c)) (i32.eq (local.get $do) (i32.const 0x62))) ;; l, b
        (then
          (local.set $at (i32.const 65536))
          (loop $l
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
            (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 3145728))))))
      (call $block (call $subscribe (i64.const 20000000)))
      (if (i32.eq (local.get $do) (i32.const 0x74)) (then (unreachable))) ;; t
      (if (i32.eq (local.get $do) (i32.const 0x64)) (then (loop $l (br $l)))) ;; d
      (i32.const 16)))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  ;; @tool
)
