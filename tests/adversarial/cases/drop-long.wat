;; world: filter
(module
  ;; include: filter-answer
  (data (i32.const 1152) (i32 1 2048 201))
  (data (i32.const 2048)
    ;; repeat: 201 (i8 120)
  ))
