;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 16) "\1b[A"))
