;; As memory.wat, over memory that is there from the start and has contents of its own: who looks finds these contents
;; and zeros, not what another wrote over them.
(component
  ;; @tools
  ;; @sleep
  (core module $m
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (memory (export "memory") 48)
    (data (i32.const 65536) "contents")
    (data (i32.const 2621440) "contents")
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $do i32) (local $at i32)
      (local.set $do (i32.load8_u (i32.add (local.get 2) (i32.const 2))))
      (if (i32.ne (local.get $do) (i32.const 0x6c)) ;; l
        (then (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const 3080192))))
      (if (i32.or (i32.eq (local.get $do) (i32.const 0x6c)) (i32.eq (local.get $do) (i32.const 0x62))) ;; l, b
        (then
          (if (i64.ne (i64.load (i32.const 65536)) (i64.const 0x73746e65746e6f63)) (then (unreachable)))
          (if (i64.ne (i64.load (i32.const 2621440)) (i64.const 0x73746e65746e6f63)) (then (unreachable)))
          (i64.store (i32.const 65536) (i64.const 0))
          (i64.store (i32.const 2621440) (i64.const 0))
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
