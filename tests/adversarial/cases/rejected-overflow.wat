;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1104) (i32 3)))
