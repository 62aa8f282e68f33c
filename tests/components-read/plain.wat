;; A function of the component itself, with words from a manifest.
(component
  (@custom "harness:manifest" "{\"capabilities\":[],\"description\":\"Adds.\",\"tools\":{\"add\":{\"name\":\"sum\",\"description\":\"Adds two numbers.\",\"category\":\"read\",\"parameters\":{\"a\":\"The first.\"}}}}")
  (core module $m (memory (export "memory") 1)
    (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f")))
  (export "add" (func $add)))
