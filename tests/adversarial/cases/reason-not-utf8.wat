;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1088) "\ff\fe\80\c0"))
