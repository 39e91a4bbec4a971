;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1096) (i32 -1)))
