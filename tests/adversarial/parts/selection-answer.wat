  ;; include: selection
  (func (export "sc:strategy/pair-selection@0.1.0#select") (type $select) (i32.const 1024))
