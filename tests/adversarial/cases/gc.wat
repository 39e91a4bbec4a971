;; beside: gate-answers
(core module (type (struct (field i32))))
