  ;; A filter without its function. The answer at 1024: ok, three groups at 1088 with the same three
  ;; decisions to keep at 1152, no state.
  ;; include: about
  (data (i32.const 64) "\01")
  (data (i32.const 1024) (i32 0) (i32 1088 3) (i32 0 0))
  (data (i32.const 1088) (i32 1152 3) (i32 1152 3) (i32 1152 3))
  (type $filter (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
