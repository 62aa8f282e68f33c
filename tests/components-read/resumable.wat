;; A resumable tool that may ask, without the imports to do anything else.
;; @as harness:tool/resumable@0.1.0
(component
  (@custom "harness:manifest" "{\"capabilities\":[\"filesystem read /workspace/docs\",\"http GET https://*.example.com\",\"secret forge api.example.com header authorization\",\"question\"]}")
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
