;; component
(component
  (core module $m (func (export "f") (result i32) unreachable))
  (core instance $c (instantiate $m))
  (func $f (result u32) (canon lift (core func $c "f")))
  (instance $about (export "describe" (func $f)) (export "check" (func $f)))
  (instance $gate (export "decide" (func $f)))
  (export "sc:strategy/about@0.1.0" (instance $about))
  (export "sc:strategy/quality-gate@0.1.0" (instance $gate)))
