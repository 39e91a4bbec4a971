;; world: idle
(module
  ;; include: about
)
