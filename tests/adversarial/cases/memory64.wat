;; beside: gate-answers
(core module (memory i64 1))
