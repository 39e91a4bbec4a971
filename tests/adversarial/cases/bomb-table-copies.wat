;; beside: gate-answers
(core module (table 1 funcref) (func (param i32)
;; repeat: 2000 (table.copy (local.get 0) (local.get 0) (local.get 0)) 
))
