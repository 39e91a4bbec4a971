;; beside: gate-answers
(core module
;; repeat: 50 (func (drop (i32.const 0)) (drop (i32.const 0)) (drop (i32.const 0)))
)
