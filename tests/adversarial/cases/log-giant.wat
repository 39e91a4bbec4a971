;; world: gate
(module
  (import "sc:strategy/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  ;; include: gate
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (drop (memory.grow (i32.const 200)))
    (call $log (i32.const 1) (i32.const 0) (i32.const 10000000)) (i32.const 1024)))
