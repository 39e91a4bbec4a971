;; beside: gate-answers
(core module
;; repeat: 300 (func (param i32) (result i32) (if (result i32) (local.get 0) (then (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))) (else (i32.const 0)))) 
(table 1 funcref))
