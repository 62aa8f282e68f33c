;; As memory.wat, with globals of every kind: who looks finds each as it was declared.
(component
  ;; @tools
  ;; @sleep
  (core module $m
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (memory (export "memory") 1)
    (global $number (mut i32) (i32.const 0))
    (global $long (mut i64) (i64.const 0))
    (global $real (mut f64) (f64.const 0))
    (global $vector (mut v128) (v128.const i64x2 0 0))
    (global $function (mut funcref) (ref.null func))
    ;; @realloc
    ;; @ok
    (elem declare func $canary)
    (func $canary)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $do i32)
      (local.set $do (i32.load8_u (i32.add (local.get 2) (i32.const 2))))
      (if (i32.ne (local.get $do) (i32.const 0x6c)) ;; l
        (then
          (global.set $number (i32.const 0xa5))
          (global.set $long (i64.const 0xa5))
          (global.set $real (f64.const 0xa5))
          (global.set $vector (v128.const i64x2 0xa5 0xa5))
          (global.set $function (ref.func $canary))))
      (if (i32.or (i32.eq (local.get $do) (i32.const 0x6c)) (i32.eq (local.get $do) (i32.const 0x62))) ;; l, b
        (then
          (if (global.get $number) (then (unreachable)))
          (if (i64.ne (global.get $long) (i64.const 0)) (then (unreachable)))
          (if (f64.ne (global.get $real) (f64.const 0)) (then (unreachable)))
          (if (v128.any_true (global.get $vector)) (then (unreachable)))
          (if (i32.eqz (ref.is_null (global.get $function))) (then (unreachable)))))
      (call $block (call $subscribe (i64.const 20000000)))
      (if (i32.eq (local.get $do) (i32.const 0x74)) (then (unreachable))) ;; t
      (if (i32.eq (local.get $do) (i32.const 0x64)) (then (loop $l (br $l)))) ;; d
      (i32.const 16)))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  ;; @tool
)
