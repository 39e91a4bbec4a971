;; world: curriculum
(module
  ;; include: curriculum-answer
  (data (i32.const 1136) "rm\1b"))
