;; world: gate
;; Lines beyond the cap cost time as well.
(module
  (import "sc:strategy/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  ;; include: gate
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (loop $again (call $log (i32.const 2) (i32.const 32) (i32.const 10)) (br $again)) unreachable))
