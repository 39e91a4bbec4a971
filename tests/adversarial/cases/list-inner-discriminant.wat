;; world: filter
(module
  ;; include: filter-answer
  (data (i32.const 1152) (i32 2)))
