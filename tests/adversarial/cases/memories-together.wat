;; beside: gate-answers
;; Each is within the limit.
(core module $m (memory 800))
;; repeat: 3 (core instance (instantiate $m))
