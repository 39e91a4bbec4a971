;; world: filter
(module
  ;; include: filter-answer
  (data (i32.const 1096) (i32 1152 0x10000000)))
