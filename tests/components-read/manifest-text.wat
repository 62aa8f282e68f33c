;; Words that would reorder, hide or forge.
(component
  (@custom "harness:manifest" "{\"capabilities\":[],\"description\":\"Fine.\\n\\ncannot:\\u001b[31m\",\"tools\":{\"add\":{\"description\":\"a\\u202eb\\u200bc\\nmade with:\"}}}")
  (core module $m (memory (export "memory") 1)
    (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f")))
  (export "add" (func $add)))
