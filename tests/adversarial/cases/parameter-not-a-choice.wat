;; world: gate
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 184) (i32 256 1))
  (data (i32.const 48) "size")
  (data (i32.const 256) (i32 48 4 0 0) (i64 3) (i32 16 3) (i64 0 0) (i64 0 0) (i32 2048 1))
  (data (i32.const 2048) (i32 24 3)))
