;; beside: gate-answers
(core module $m)
;; repeat: 300 (core instance (instantiate $m))
