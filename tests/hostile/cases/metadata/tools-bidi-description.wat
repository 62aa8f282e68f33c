;; Describes itself with characters that turn text around: they are removed.
(component
  (@custom "harness:tools" "[{\"name\":\"attack\",\"description\":\"Reads \e2\80\aefiles\e2\80\ac.\",\"category\":\"other\",\"parameters\":{}}]")
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
