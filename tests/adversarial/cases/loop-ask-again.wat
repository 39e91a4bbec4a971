;; world: filter
;; The same question costs no quota: the time that it takes must be the strategy's.
(module
  (import "sc:strategy/model@0.1.0" "ask" (func $ask (param i32 i32 i32)))
  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (loop $again (call $ask (i32.const 2048) (i32.const 1) (i32.const 2112)) (br $again)) unreachable)
  (data (i32.const 2048) (i32 0 0 32 10)))
