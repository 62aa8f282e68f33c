;; Wants to send requests through an interface of another major version: it is refused by name.
(component
  ;; @tools
  (import "wasi:http/outgoing-handler@9.0.0" (instance $http (export "handle" (func))))
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
