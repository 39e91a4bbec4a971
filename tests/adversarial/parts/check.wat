  ;; Accepts all settings: the result at 512 is all zeros.
  (func (export "sc:strategy/about@0.1.0#check") (param i32 i32 i32) (result i32) (i32.const 512))
