;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 128) (i32 2048 12))
  (data (i32.const 2048) "builtin:good"))
