;; world: filter
(module
  (import "sc:strategy/model@0.1.0" "ask" (func $ask (param i32 i32 i32)))
  ;; include: filter
  ;; include: ask
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (drop (call $ask_or_refuse (i32.const 4096) (i32.const 1)))
    (i32.const 1024))
  (data (i32.const 4096) (i32 99 0 32 10)))
