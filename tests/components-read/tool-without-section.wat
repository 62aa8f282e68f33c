;; The contract without its section: nobody can know its tools.
(component
  (import "wasi:http/outgoing-handler@0.2.3" (instance))
  (import "harness:host/kv@0.1.0" (instance))
  (import "wasi:cli/environment@0.2.0" (instance))
  (import "wasi:sockets/tcp@0.2.0" (instance))
  (import "wasi:io/streams@0.2.0" (instance))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok

    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
