;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 512) (i32 1) (i32 1 2048 5 32 10))
  (data (i32.const 2048) "a\1b[2J"))
