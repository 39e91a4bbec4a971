;; beside: gate-answers
;; repeat: 64 (core module)
