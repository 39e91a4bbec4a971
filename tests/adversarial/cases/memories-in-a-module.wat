;; world: gate
(module
  ;; include: gate
  ;; include: decide
  ;; repeat: 70 (memory 1)
)
