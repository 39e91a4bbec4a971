;; beside: gate-answers
(import "exec" (func (param "command" string)))
