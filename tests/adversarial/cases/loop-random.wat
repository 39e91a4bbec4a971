;; world: gate
(module
  (import "sc:strategy/random@0.1.0" "next" (func $random (result i64)))
  ;; include: gate
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (loop $again (drop (call $random)) (br $again)) unreachable))
