;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1028) (i32 8192 1500))
  (data (i32.const 8192)
    ;; repeat: 1500 (i64 1) (i32 0 0 1 0) (f64 1)
  ))
