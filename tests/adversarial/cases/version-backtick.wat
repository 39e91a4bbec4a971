;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 24) "1`0"))
