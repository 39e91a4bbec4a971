;; world: curriculum
(module
  ;; include: curriculum-answer
  (data (i32.const 1044) (i32 0)))
