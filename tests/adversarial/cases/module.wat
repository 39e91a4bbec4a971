;; world: gate
(module
  ;; include: gate
  ;; include: decide
)
