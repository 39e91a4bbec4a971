;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1032) (i32 -1 2)))
