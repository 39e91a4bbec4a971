;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 64) "\03\00")
  (data (i32.const 168) (i32 64 2)))
