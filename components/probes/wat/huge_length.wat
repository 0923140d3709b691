;; Passes a name that is said to be 4 GiB - 1 long. Rust cannot: no slice is. Whoever reads it must look at
;; the length before the bytes, and before allocating: the app traps, the host goes on.
(component
  (import "nexus:error/types@0.1.0" (instance $errors
    (type $code (enum
      "denied" "invalid-argument" "invalid-state" "not-found" "already-exists" "would-block" "no-capacity"
      "deadline" "cancelled" "refused" "unreachable" "reset" "closed" "protocol" "unavailable" "internal"))
    (export "error-code" (type $error-code (eq $code)))
    (type $record (record (field "code" $error-code) (field "reason" string) (field "why" string)))
    (export "error" (type (eq $record)))))
  (alias export $errors "error" (type $error))

  (import "nexus:net/types@0.1.0" (instance $types
    (type $variant (variant
      (case "ipv4" (tuple u8 u8 u8 u8))
      (case "ipv6" (tuple u16 u16 u16 u16 u16 u16 u16 u16))))
    (export "ip-address" (type (eq $variant)))))
  (alias export $types "ip-address" (type $ip-address))

  (import "nexus:net/tcp-connect@0.1.0" (instance $tcp-connect
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (alias outer 1 $ip-address (type $outer-address))
    (export "ip-address" (type $ip-address (eq $outer-address)))
    (type $resolve (func async (param "name" string) (result (result (list $ip-address) (error $error)))))
    (export "resolve" (func (type $resolve)))))

  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
  (core instance $memory (instantiate $memory))

  (alias export $tcp-connect "resolve" (func $resolve))
  (core func $lowered (canon lower (func $resolve) async
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))

  (core module $main
    (import "host" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
    (func (export "run") (result i32)
      ;; The name's address, its length, where the result goes.
      (drop (call $resolve (i32.const 0) (i32.const -1) (i32.const 16)))
      i32.const 0))
  (core instance $main (instantiate $main
    (with "host" (instance (export "resolve" (func $lowered))))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))
