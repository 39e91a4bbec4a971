;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1032) (i32 2))
  (data (i32.const 1120) (i64 1) (i32 0 0 1 0) (f64 2)))
