;; Tools that are told by a call.
(component
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok

    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16))
    (data (i32.const 600) "\90\02\00\00\60\00\00\00")
    (data (i32.const 656) "[{\"name\":\"told\",\"description\":\"Told.\",\"category\":\"read\",\"parameters\":{\"type\":\"object\"}}]        ")
    (func (export "describe") (result i32) (i32.const 600)))
  (core instance $i (instantiate $m))
  ;; @tool
  (func $describe (result string) (canon lift (core func $i "describe") (memory (core memory $i "memory"))))
  (instance $describe (export "describe" (func $describe)))
  (export "harness:tool/describe@0.1.0" (instance $describe)))
