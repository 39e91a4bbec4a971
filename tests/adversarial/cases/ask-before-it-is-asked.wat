;; world: gate
(module
  (import "sc:strategy/model@0.1.0" "ask" (func $ask (param i32 i32 i32)))
  ;; include: memory
  ;; include: texts
  ;; include: describe
  ;; include: gate-data
  ;; include: ask
  ;; include: decide
  (func (export "sc:strategy/about@0.1.0#check") (param i32 i32 i32) (result i32)
    (drop (call $ask_or_refuse (i32.const 4096) (i32.const 1)))
    (i32.store (i32.const 512) (i32.const 1))
    (i32.store (i32.const 528) (i32.load (i32.const 1028)))
    (i32.store (i32.const 532) (i32.load (i32.const 1032)))
    (i32.const 512))
  (data (i32.const 4096) (i32 0 0 32 10)))
