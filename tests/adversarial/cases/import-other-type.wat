;; beside: gate-answers
(import "sc:strategy/random@0.1.0" (instance (export "next" (func (param "n" u64) (result (list u64))))))
