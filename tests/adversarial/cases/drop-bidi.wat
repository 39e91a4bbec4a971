;; world: filter
;; It would be read backwards.
(module
  ;; include: filter-answer
  (data (i32.const 1152) (i32 1 2048 5))
  (data (i32.const 2048) "a\e2\80\aeb"))
