;; component
(component
  (instance $i)
  (export "sc:strategy/about@0.1.0" (instance $i))
  (export "sc:strategy/quality-gate@0.1.0" (instance $i)))
