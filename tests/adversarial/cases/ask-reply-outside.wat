;; world: filter
(module
  (import "sc:strategy/model@0.1.0" "ask" (func $ask (param i32 i32 i32)))
  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (call $ask (i32.const 0) (i32.const 0) (i32.const -4)) unreachable))
