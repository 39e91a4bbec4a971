  ;; include: memory
  ;; include: texts
  ;; include: describe
  ;; include: check
