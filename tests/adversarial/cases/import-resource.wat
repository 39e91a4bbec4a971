;; beside: gate-answers
(import "sc:strategy/log@0.1.0" (instance (export "handle" (type (sub resource)))))
