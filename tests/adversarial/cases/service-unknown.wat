;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 176) (i32 2048 1))
  (data (i32.const 2048) (i32 2056 5))
  (data (i32.const 2056) "files"))
