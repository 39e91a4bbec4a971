;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1100) (i32 2)))
