;; Returns a text that lies outside its memory.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (data (i32.const 16) "\00\00\00\00\20\00\00\00\01\00\00\00")
    (data (i32.const 32) "\00\00\00\00\f0\ff\ff\ff\02\00\00\00")
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
