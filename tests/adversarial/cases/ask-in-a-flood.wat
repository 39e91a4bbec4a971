;; world: filter
;; Each question is the same 2,000 bytes.
(module
  (import "sc:strategy/model@0.1.0" "ask" (func $ask (param i32 i32 i32)))
  ;; include: filter
  ;; include: ask
  (func (export "sc:strategy/data-filter@0.1.0#filter") (type $filter)
    (drop (call $ask_or_refuse (i32.const 8192) (i32.const 3000)))
    (i32.const 1024))
  (data (i32.const 8192)
    ;; repeat: 3000 (i32 0 0 4096 2000)
  ))
