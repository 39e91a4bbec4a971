;; world: selection
;; A signalling NaN with a payload.
(module
  ;; include: selection-answer
  (data (i32.const 1112) (i64 0xfff4000000000001)))
