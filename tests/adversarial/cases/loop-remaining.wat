;; world: filter
(module
  (import "sc:strategy/model@0.1.0" "remaining" (func $remaining (result i32)))
  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (loop $again (drop (call $remaining)) (br $again)) unreachable))
