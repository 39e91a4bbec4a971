;; world: gate
;; Each author is half of the memory.
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 144) (i32 0 131072))
  (data (i32.const 152) (i32 65536 64))
  (data (i32.const 65536)
    ;; repeat: 64 (i32 0 65536)
  ))
