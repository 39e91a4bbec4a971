;; beside: gate-answers
(core module
;; repeat: 60001 (func)
)
