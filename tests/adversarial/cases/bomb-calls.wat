;; beside: gate-answers
(core module (func $f) (func
;; repeat: 20000 (call $f) 
))
