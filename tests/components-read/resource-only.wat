;; Nothing but a resource: no tools.
(component
  (type $r' (resource (rep i32)))
  (export $r "r" (type $r'))
  (core module $m (func (export "f") (param i32)))
  (core instance $i (instantiate $m))
  (func $use (param "it" (borrow $r)) (canon lift (core func $i "f")))
  (export "use" (func $use)))
