  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter) (i32.const 1024))
