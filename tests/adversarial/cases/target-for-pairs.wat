;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1088) (i64 0) (i32 0 0) (f64 1) (i32 1 0)))
