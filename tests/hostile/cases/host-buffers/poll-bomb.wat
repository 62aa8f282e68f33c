;; Waits for the same thing a million times at once.
(component
  ;; @tools
  (import "wasi:io/poll@0.2.6" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
    (alias outer 1 $pollable (type $pollable0))
    (export "pollable" (type $pollable (eq $pollable0)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core module $libc
    (memory (export "memory") 64)
    ;; @realloc
  )
  (core instance $libc (instantiate $libc))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $ready (canon lower (func $poll "[method]pollable.ready")))
  (core func $poll-all (canon lower (func $poll "poll") (memory (core memory $libc "memory")) (realloc (core func $libc "cabi_realloc"))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core instance $host (export "block" (func $block)) (export "ready" (func $ready))
    (export "poll" (func $poll-all)) (export "subscribe" (func $subscribe)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "ready" (func $ready (param i32) (result i32)))
    (import "host" "poll" (func $poll (param i32 i32 i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (export "memory" (memory 0))
    (export "cabi_realloc" (func $realloc))
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $p i32) (local $at i32)
      (local.set $p (call $subscribe (i64.const 3600000000000)))
      (loop $l
        (i32.store offset=65536 (local.get $at) (local.get $p))
        (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 4000000))))
      (call $poll (i32.const 65536) (i32.const 1000000) (i32.const 512))
      (unreachable)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
  ;; @tool
)
