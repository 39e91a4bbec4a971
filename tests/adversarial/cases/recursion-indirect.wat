;; world: gate
(module
  ;; include: gate
  (table funcref (elem $deeper))
  (type $step (func (param i64 i64 i64) (result i64)))
  (func $deeper (type $step)
    (i64.mul (call_indirect (type $step) (local.get 1) (local.get 2) (local.get 0) (i32.const 0)) (local.get 1)))
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (i32.wrap_i64 (call $deeper (i64.const 1) (i64.const 2) (i64.const 3)))))
