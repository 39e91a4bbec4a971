;; world: curriculum
(module
  ;; include: curriculum-answer
  (data (i32.const 1156) (i32 0)))
