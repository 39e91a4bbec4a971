;; beside: gate-answers
(import "wasi:random/random@0.2.0" (instance))
