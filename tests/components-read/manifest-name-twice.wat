;; Words that give two tools one name.
(component
  (@custom "harness:manifest" "{\"capabilities\":[],\"tools\":{\"add\":{\"name\":\"one\"},\"two\":{\"name\":\"one\"}}}")
  (core module $m (memory (export "memory") 1)
    (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f")))
  (export "add" (func $add)) (export "two" (func $add)))
