;; Imports of versions and names that this host does not have.
(component
  (@custom "harness:manifest" "{\"capabilities\":[\"filesystem read /workspace/docs\",\"http GET https://*.example.com\",\"secret forge api.example.com header authorization\",\"question\"]}")
  (import "wasi:http/outgoing-handler@0.2.3" (instance))
  (import "harness:host/kv@0.9.0" (instance))
  (import "wasi:cli/environment@0.3.0" (instance))
  (import "wasi:sockets/tcp@0.2.0" (instance))
  (import "wasi:nn/tensor@0.2.0" (instance))
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok

    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
