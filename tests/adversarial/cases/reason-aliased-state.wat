;; world: gate
;; Reason and state are the whole memory.
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1028) (i32 0 0 100000 0 131072)))
