;; world: curriculum
(module
  ;; include: curriculum-answer
  (data (i32.const 1048) (i32 1216 1))
  (data (i32.const 1216) (i32 1 1) (f64 1) (i32 -1 0)))
