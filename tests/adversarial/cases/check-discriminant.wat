;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 512) (i32 1) (i32 7 0 0 32 10)))
