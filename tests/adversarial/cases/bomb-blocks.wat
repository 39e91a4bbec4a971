;; beside: gate-answers
(core module (func
;; repeat: 8001 (block)
))
