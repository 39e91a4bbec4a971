;; beside: gate-answers
(core module (func (local
;; repeat: 501  i32
)))
