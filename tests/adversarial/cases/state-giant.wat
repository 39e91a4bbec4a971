;; world: gate
(module
  ;; include: gate
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (drop (memory.grow (i32.const 30)))
    (i32.const 1024))
  (data (i32.const 1044) (i32 1500000)))
