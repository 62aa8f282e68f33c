;; Returns twelve megabytes of text: more than the host would even copy.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 200)
    ;; @realloc
    (data (i32.const 16) "\00\00\00\00\20\00\00\00\01\00\00\00")
    (data (i32.const 32) "\00\00\00\00\50\00\00\00\00\00\c0\00")
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
