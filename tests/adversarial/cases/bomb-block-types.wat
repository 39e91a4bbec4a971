;; beside: gate-answers
(core module
(type $b (func (param
;; repeat: 1000  i32
) (result
;; repeat: 1000  i32
)))
(func (param i32)
;; repeat: 1000 (i32.const 1) 
;; repeat: 100 local.get 0 if (type $b) else end 
;; repeat: 1000 drop 
))
