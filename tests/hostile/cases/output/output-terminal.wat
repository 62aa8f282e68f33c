;; Returns terminal sequences and characters that turn text around.
(component
  ;; @tools
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    (data (i32.const 16) "\00\00\00\00\20\00\00\00\01\00\00\00")
    (data (i32.const 32) "\00\00\00\00\50\00\00\00\15\00\00\00")
    (data (i32.const 80) "\1b[31mred\1b[0m\e2\80\aetxt\08\0d\00")
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
