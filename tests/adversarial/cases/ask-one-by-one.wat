;; world: filter
;; Goes on until the quota is used up.
(module
  (import "sc:strategy/model@0.1.0" "ask" (func $ask (param i32 i32 i32)))
  ;; include: filter
  ;; include: ask
  (global $n (mut i32) (i32.const 0))
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (loop $next
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (i32.store (i32.const 4108) (global.get $n))
      (br_if $next (i32.eqz (call $ask_or_refuse (i32.const 4096) (i32.const 1)))))
    (i32.const 1024))
  (data (i32.const 4096) (i32 0 0 32 0)))
