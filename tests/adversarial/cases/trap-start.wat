;; world: gate
(module
  ;; include: gate
  (func $start unreachable)
  (start $start)
  ;; include: decide
)
