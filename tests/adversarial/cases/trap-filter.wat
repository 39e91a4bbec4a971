;; world: filter
(module
  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter) unreachable))
