;; beside: gate-answers
(core module (func
;; repeat: 1001 block 
;; repeat: 1001 end 
))
