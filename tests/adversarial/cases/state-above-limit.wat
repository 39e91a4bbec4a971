;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1040) (i32 4096 1001)))
