;; Asks for a gigabyte of randomness.
(component
  ;; @tools
  (import "wasi:random/random@0.2.6" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $libc
    (memory (export "memory") 1)
    ;; @realloc
  )
  (core instance $libc (instantiate $libc))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory (core memory $libc "memory")) (realloc (core func $libc "cabi_realloc"))))
  (core instance $host (export "bytes" (func $bytes)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (export "memory" (memory 0))
    (export "cabi_realloc" (func $realloc))
    ;; @ok
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (call $bytes (i64.const 1073741824) (i32.const 512))
      (unreachable)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
  ;; @tool
)
