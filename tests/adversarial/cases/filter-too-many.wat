;; world: filter
(module
  ;; include: filter-answer
  (data (i32.const 1092) (i32 4)))
