;; Two manifests.
(component
  (@custom "harness:manifest" "{}")
  (@custom "harness:manifest" "{\"capabilities\":[\"kv write session\",\"question\",\"limit fuel 1000\"]}")
  (core module $m (memory (export "memory") 1)
    (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f")))
  (export "add" (func $add)))
