;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 128) (i32 2048 65))
  (data (i32.const 2048)
    ;; repeat: 65 (i8 120)
  ))
