;; beside: gate-answers
(core module (func
;; repeat: 12001 (block)
))
