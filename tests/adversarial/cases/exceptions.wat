;; beside: gate-answers
(core module (tag))
