;; beside: gate-answers
(core module
;; repeat: 10001 (type (func))
)
