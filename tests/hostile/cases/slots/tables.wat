;; As memory.wat, with tables of functions, declared and grown: who looks finds no
;; reference.
(component
  ;; @tools
  ;; @sleep
  (core module $m
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (memory (export "memory") 1)
    (table $declared 4000 funcref)
    (table $grown 0 funcref)
    ;; @realloc
    ;; @ok
    (elem declare func $canary)
    (func $canary)
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $do i32) (local $at i32)
      (local.set $do (i32.load8_u (i32.add (local.get 2) (i32.const 2))))
      ;; A growth that fails breaks in another way than a canary that is found.
      (if (i32.eq (table.grow $grown (ref.null func) (i32.const 4000)) (i32.const -1)) (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
      (if (i32.ne (local.get $do) (i32.const 0x6c)) ;; l
        (then
          (table.fill $declared (i32.const 0) (ref.func $canary) (i32.const 4000))
          (table.fill $grown (i32.const 0) (ref.func $canary) (i32.const 4000))))
      (if (i32.or (i32.eq (local.get $do) (i32.const 0x6c)) (i32.eq (local.get $do) (i32.const 0x62))) ;; l, b
        (then
          (loop $l
            (if (i32.eqz (ref.is_null (table.get $declared (local.get $at)))) (then (unreachable)))
            (if (i32.eqz (ref.is_null (table.get $grown (local.get $at)))) (then (unreachable)))
            (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 4000))))))
      (call $block (call $subscribe (i64.const 20000000)))
      (if (i32.eq (local.get $do) (i32.const 0x74)) (then (unreachable))) ;; t
      (if (i32.eq (local.get $do) (i32.const 0x64)) (then (loop $l (br $l)))) ;; d
      (i32.const 16)))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  ;; @tool
)
