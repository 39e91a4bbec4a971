;; world: selection
(module
  ;; include: selection-answer
  (data (i32.const 1028) (i32 65536 2000))
  (data (i32.const 65536)
    ;; repeat: 2000 (i64 1) (i32 0 0 1 0) (f64 1)
  ))
