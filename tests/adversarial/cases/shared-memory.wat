;; beside: gate-answers
(core module (memory 1 1 shared))
