;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 512) (i32 1) (i32 0 0 0 -8 100)))
