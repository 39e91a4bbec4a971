;; world: filter
;; Times eight bytes it is eight.
(module
  ;; include: filter-answer
  (data (i32.const 1032) (i32 0x20000001)))
