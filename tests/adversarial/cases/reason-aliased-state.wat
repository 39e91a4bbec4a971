;; world: gate
;; Reason and state are the same bytes.
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1028) (i32 0 4096 50000 4096 50000)))
