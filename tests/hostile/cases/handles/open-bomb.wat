;; Opens the same folder for ever.
(component
  ;; @tools
  (import "wasi:filesystem/types@0.2.6" (instance $types
    (export "descriptor" (type $descriptor (sub resource)))
    (type $error-code0 (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist" "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop" "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory" "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error-code (eq $error-code0)))
    (type $path-flags0 (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path-flags0)))
    (type $open-flags0 (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open-flags0)))
    (type $descriptor-flags0 (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $descriptor-flags0)))
    (export "[method]descriptor.open-at" (func
      (param "self" (borrow $descriptor)) (param "path-flags" $path-flags) (param "path" string)
      (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error-code)))))
    (export "[method]descriptor.create-directory-at" (func
      (param "self" (borrow $descriptor)) (param "path" string) (result (result (error $error-code)))))
    (export "[method]descriptor.write" (func
      (param "self" (borrow $descriptor)) (param "buffer" (list u8)) (param "offset" u64)
      (result (result u64 (error $error-code)))))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.6" (instance $preopens
    (alias outer 1 $descriptor (type $descriptor0))
    (export "descriptor" (type $descriptor (eq $descriptor0)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (core module $libc
    (memory (export "memory") 1)
    ;; @realloc
  )
  (core instance $libc (instantiate $libc))
  (core func $directories (canon lower (func $preopens "get-directories") (memory (core memory $libc "memory")) (realloc (core func $libc "cabi_realloc"))))
  (core func $open (canon lower (func $types "[method]descriptor.open-at") (memory (core memory $libc "memory"))))
  (core func $mkdir (canon lower (func $types "[method]descriptor.create-directory-at") (memory (core memory $libc "memory"))))
  (core func $write (canon lower (func $types "[method]descriptor.write") (memory (core memory $libc "memory"))))
  (core instance $host (export "directories" (func $directories)) (export "open" (func $open))
    (export "mkdir" (func $mkdir)) (export "write" (func $write)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "directories" (func $directories (param i32)))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "mkdir" (func $mkdir (param i32 i32 i32 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i64 i32)))
    (func $root (result i32)
      (call $directories (i32.const 512))
      (i32.load (i32.load (i32.const 512))))
    (export "memory" (memory 0))
    (export "cabi_realloc" (func $realloc))
    ;; @ok
    (data (i32.const 1024) "inside")
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (local $dir i32)
      (local.set $dir (call $root))
      (loop $l
        (call $open (local.get $dir) (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 2) (i32.const 1) (i32.const 512))
        (br_if $l (i32.eqz (i32.load8_u (i32.const 512)))))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
  ;; @tool
)
