;; Has its schema checked twice as long at each level.
(component
  (@custom "harness:tools" "[{\"name\":\"attack\",\"description\":\"x\",\"category\":\"other\",\"parameters\":{\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/b\"},{\"$ref\":\"#/$defs/b\"}]},\"b\":{}}}}]")
  (core module $m
    (memory (export "memory") 1)
    ;; @realloc
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.const 16)))
  (core instance $i (instantiate $m))
  ;; @tool
)
