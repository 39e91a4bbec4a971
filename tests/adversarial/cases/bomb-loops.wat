;; beside: gate-answers
(core module (func
;; repeat: 25 loop 
;; repeat: 25 end 
))
