;; What the author wrote in WIT.
(component
  (@custom "package-docs" "\01{\"interfaces\":{\"whole\":{\"funcs\":{\"add\":{\"docs\":\"Adds \\u202etwo whole numbers.\"}}}}}")
  (core module $m (memory (export "memory") 1)
    (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f")))
  (instance $one (export "add" (func $add)))
  (export "a:numbers/whole@1.0.0" (instance $one)))
