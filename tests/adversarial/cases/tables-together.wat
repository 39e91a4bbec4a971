;; beside: gate-answers
(core module $m (table 3000000 funcref))
;; repeat: 7 (core instance (instantiate $m))
