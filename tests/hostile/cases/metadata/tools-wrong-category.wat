;; Declares a category that there is not.
(component
  (@custom "harness:tools" "[{\"name\":\"a\",\"description\":\"\",\"category\":\"root\",\"parameters\":{}}]")
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
