;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1024) (i32 2)))
