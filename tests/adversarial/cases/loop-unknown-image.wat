;; world: filter
(module
  (import "sc:strategy/candidate@0.1.0" "pixels" (func $pixels (param i32 i32 i32)))
  ;; include: filter
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (loop $again (call $pixels (i32.const 9) (i32.const 9) (i32.const 2112)) (global.set $heap (i32.const 65536)) (br $again)) unreachable))
