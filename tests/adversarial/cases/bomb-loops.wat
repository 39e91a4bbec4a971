;; beside: gate-answers
(core module (func
;; repeat: 17 loop 
;; repeat: 17 end 
))
