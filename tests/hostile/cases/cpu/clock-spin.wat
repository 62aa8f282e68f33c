;; Calls the host for ever, for the shortest thing there is to ask.
(component
  ;; @tools
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock (export "now" (func (result u64)))))
  (core func $now (canon lower (func $clock "now")))
  (core instance $host (export "now" (func $now)))
  (core module $m
    (import "host" "now" (func $now (result i64)))
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (loop $l (drop (call $now)) (br $l))
      (unreachable)))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  ;; @tool
)
