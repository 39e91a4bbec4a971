;; world: filter
(module
  (import "sc:strategy/candidate@0.1.0" "pixels" (func $pixels (param i32 i32 i32)))
  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (loop $next
      (global.set $heap (i32.const 65536))
      (call $pixels (i32.const 0) (i32.const 0) (i32.const 2112))
      (br_if $next (i32.eqz (i32.load8_u (i32.const 2112)))))
    (i32.store (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.load (i32.const 2116)))
    (i32.store (i32.const 1032) (i32.load (i32.const 2120)))
    (i32.const 1024)))
