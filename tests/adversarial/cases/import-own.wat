;; beside: gate-answers
(import "sc:strategy/files@0.1.0" (instance))
