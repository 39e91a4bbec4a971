  ;; The answer at 1024: ok, keep, the reason "fine" at 1088, no state.
  (data (i32.const 64) "\03")
  (data (i32.const 1024) (i32 0) (i32 0 1088 4) (i32 0 0))
  (data (i32.const 1088) "fine")
  (type $decide
    (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
