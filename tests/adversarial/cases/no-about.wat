;; world: silent
(module
  ;; include: memory
  ;; include: gate-data
  ;; include: decide
)
