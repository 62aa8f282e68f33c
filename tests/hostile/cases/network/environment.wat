;; Looks for the host's environment: there is none.
(component
  ;; @tools
  (import "wasi:cli/environment@0.2.6" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))))
  (core module $libc
    (memory (export "memory") 1)
    ;; @realloc
  )
  (core instance $libc (instantiate $libc))
  (core func $env (canon lower (func $environment "get-environment") (memory (core memory $libc "memory")) (realloc (core func $libc "cabi_realloc"))))
  (core func $args (canon lower (func $environment "get-arguments") (memory (core memory $libc "memory")) (realloc (core func $libc "cabi_realloc"))))
  (core instance $host (export "env" (func $env)) (export "args" (func $args)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "env" (func $env (param i32)))
    (import "host" "args" (func $args (param i32)))
    (export "memory" (memory 0))
    (export "cabi_realloc" (func $realloc))
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $env (i32.const 512))
      (if (i32.load (i32.const 516)) (then (unreachable)))
      (call $args (i32.const 512))
      (if (i32.load (i32.const 516)) (then (unreachable)))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
  ;; @tool
)
