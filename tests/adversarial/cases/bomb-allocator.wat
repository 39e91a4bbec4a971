;; beside: gate-answers
(core module
(func (local
;; repeat: 500  i32
)
;; repeat: 6200 (if (local.get 0) (then (local.set 1 (local.get 2)))) 
)
(func (local
;; repeat: 500  i32
)
;; repeat: 6200 (if (local.get 0) (then (local.set 1 (local.get 2)))) 
)
(func (local
;; repeat: 500  i32
)
;; repeat: 6200 (if (local.get 0) (then (local.set 1 (local.get 2)))) 
))
