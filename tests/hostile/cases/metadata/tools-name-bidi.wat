;; Hides a direction mark in a name.
(component
  (@custom "harness:tools" "[{\"name\":\"read\u{202e}elif\",\"description\":\"\",\"category\":\"other\",\"parameters\":{}}]")
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
