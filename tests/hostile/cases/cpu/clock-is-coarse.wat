;; Looks at the clock for steps finer than a millisecond: there are none, and it began with the call.
(component
  ;; @tools
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
    (export "now" (func (result u64)))
    (export "resolution" (func (result u64)))))
  (core func $now (canon lower (func $clock "now")))
  (core func $resolution (canon lower (func $clock "resolution")))
  (core instance $host (export "now" (func $now)) (export "resolution" (func $resolution)))
  (core module $m
    (import "host" "now" (func $now (result i64)))
    (import "host" "resolution" (func $resolution (result i64)))
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $n i32)
      (if (i64.ne (call $resolution) (i64.const 1000000)) (then (unreachable)))
      (loop $l
        (if (i64.ne (i64.rem_u (call $now) (i64.const 1000000)) (i64.const 0)) (then (unreachable)))
        ;; Less than an hour: not the time since the machine started.
        (if (i64.gt_u (call $now) (i64.const 3600000000000)) (then (unreachable)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $n) (i32.const 1000))))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  ;; @tool
)
