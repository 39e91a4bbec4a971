;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1112) (f64 1e300)))
