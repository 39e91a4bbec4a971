;; world: filter
(module
  ;; include: filter-answer
  (data (i32.const 1024) (i32 0 65536 8000))
  ;; 8,000 groups, all of them the same 5,000 decisions.
  (data (i32.const 65536)
    ;; repeat: 8000 (i32 2048 5000)
  ))
