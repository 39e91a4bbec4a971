;; world: filter
;; What may ask runs on a thread of its own, with a stack of its own.
(module
  (import "sc:strategy/model@0.1.0" "remaining" (func $remaining (result i32)))
  ;; include: filter
  (func $deeper (param i32) (result i32)
    (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (drop (call $remaining)) (call $deeper (i32.const 0))))
