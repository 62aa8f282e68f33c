;; Ends the process, as it thinks.
(component
  ;; @tools
  (import "wasi:cli/exit@0.2.6" (instance $exit (export "exit" (func (param "status" (result))))))
  (core module $libc
    (memory (export "memory") 1)
    ;; @realloc
  )
  (core instance $libc (instantiate $libc))
  (core func $exit (canon lower (func $exit "exit")))
  (core instance $host (export "exit" (func $exit)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "exit" (func $exit (param i32)))
    (export "memory" (memory 0))
    (export "cabi_realloc" (func $realloc))
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $exit (i32.const 1))
      (unreachable)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
  ;; @tool
)
