;; world: interpreter
(module
  ;; include: gate
  ;; include: decide
  (func (export "sc:strategy/script@0.1.0#load") (param i32 i32) (result i32) unreachable))
