;; world: gate
(module
  (import "sc:strategy/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  ;; include: gate
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (call $log (i32.const 9) (i32.const 32) (i32.const 3)) (i32.const 1024)))
