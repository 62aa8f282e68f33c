;; Has a schema that is none.
(component
  (@custom "harness:tools" "[{\"name\":\"attack\",\"description\":\"x\",\"category\":\"other\",\"parameters\":true}]")
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
