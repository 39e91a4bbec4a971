;; beside: gate-answers
(import "sc:strategy/log@0.2.0" (instance))
