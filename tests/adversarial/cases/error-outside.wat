;; world: gate
;; What it refuses with lies as well.
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1024) (i32 1 -8 100)))
