;; Exports a `call` of another type.
(component
  ;; @tools
  (core module $m (func (export "call") (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  (func $call (result u32) (canon lift (core func $i "call")))
  (instance $tool (export "call" (func $call)))
  (export "harness:tool/tool@0.1.0" (instance $tool))
)
