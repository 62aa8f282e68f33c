;; Hooks of a contract that this host does not know.
(component
  (core module $m (func (export "points")))
  (core instance $i (instantiate $m))
  (func $points (canon lift (core func $i "points")))
  (instance $hooks (export "points" (func $points)))
  (export "harness:mode/hooks@0.2.0" (instance $hooks)))
