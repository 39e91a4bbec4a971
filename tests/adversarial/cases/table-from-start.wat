;; world: gate
(module
  ;; include: gate
  (table 100000000 funcref)
  ;; include: decide
)
