;; world: gate
(module
  ;; include: gate
  (func $start (loop $again (br $again)) unreachable)
  (start $start)
  ;; include: decide
)
