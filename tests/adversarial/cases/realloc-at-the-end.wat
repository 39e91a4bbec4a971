;; world: gate
(module
  ;; include: texts
  ;; include: describe
  ;; include: check
  ;; include: gate-data
  ;; include: decide
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65528)))
