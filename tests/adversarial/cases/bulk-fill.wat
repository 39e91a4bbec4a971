;; world: gate
;; Operations on bulk memory do much for one instruction.
(module
  ;; include: gate
  (func (export "sc:strategy/quality-gate@0.1.0#decide") (type $decide)
    (loop $again (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65536)) (br $again)) unreachable)
)
