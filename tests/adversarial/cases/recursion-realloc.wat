;; world: gate
(module
  ;; include: texts
  ;; include: describe
  ;; include: check
  ;; include: gate-data
  ;; include: decide
  (memory (export "memory") 1)
  (func $more (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (if (i32.eqz (local.get 3)) (then (return (i32.const 0))))
    (i32.add (call $more (local.get 0) (local.get 1) (local.get 2) (local.get 3)) (i32.const 1))))
