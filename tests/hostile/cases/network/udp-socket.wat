;; Asks for a UDP socket: it is refused.
(component
  ;; @tools
  (import "wasi:sockets/network@0.2.6" (instance $network
    (type $error-code0 (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $error-code0)))
    (type $family0 (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $family0)))))
  (alias export $network "error-code" (type $error-code))
  (alias export $network "ip-address-family" (type $family))
  (import "wasi:sockets/udp@0.2.6" (instance $tcp (export "udp-socket" (type (sub resource)))))
  (alias export $tcp "udp-socket" (type $udp-socket))
  (import "wasi:sockets/udp-create-socket@0.2.6" (instance $create
    (alias outer 1 $error-code (type $error-code0))
    (export "error-code" (type $error-code (eq $error-code0)))
    (alias outer 1 $family (type $family0))
    (export "ip-address-family" (type $family (eq $family0)))
    (alias outer 1 $udp-socket (type $udp-socket0))
    (export "udp-socket" (type $udp-socket (eq $udp-socket0)))
    (export "create-udp-socket" (func (param "address-family" $family) (result (result (own $udp-socket) (error $error-code)))))))
  (core module $libc
    (memory (export "memory") 1)
    ;; @realloc
  )
  (core instance $libc (instantiate $libc))
  (core func $create (canon lower (func $create "create-udp-socket") (memory (core memory $libc "memory"))))
  (core instance $host (export "create" (func $create)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "create" (func $create (param i32 i32)))
    (export "memory" (memory 0))
    (export "cabi_realloc" (func $realloc))
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $create (i32.const 0) (i32.const 512))
      ;; An error, and that error is `access-denied`.
      (if (i32.ne (i32.load8_u (i32.const 512)) (i32.const 1)) (then (unreachable)))
      (if (i32.ne (i32.load8_u (i32.const 516)) (i32.const 1)) (then (unreachable)))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
  ;; @tool
)
