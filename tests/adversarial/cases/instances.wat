;; beside: gate-answers
(core module $m)
;; repeat: 200 (core instance (instantiate $m))
