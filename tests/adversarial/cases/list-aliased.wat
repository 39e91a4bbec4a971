;; world: filter
(module
  ;; include: filter-answer
  (data (i32.const 1024) (i32 0 8192 7000))
  ;; 7,000 groups, all of them the same 400 decisions.
  (data (i32.const 8192)
    ;; repeat: 7000 (i32 2048 400)
  ))
