;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 64) "\01"))
