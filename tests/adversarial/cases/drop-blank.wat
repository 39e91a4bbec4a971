;; world: filter
;; Characters without width.
(module
  ;; include: filter-answer
  (data (i32.const 1152) (i32 1 2048 6))
  (data (i32.const 2048) "\e2\80\8b\e2\80\8b"))
