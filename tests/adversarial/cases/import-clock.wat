;; beside: gate-answers
(import "wasi:clocks/monotonic-clock@0.2.0" (instance))
