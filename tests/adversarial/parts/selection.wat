  ;; A selection without its function. The answer at 1024: ok, one choice at 1088, no state. The
  ;; choice: a pair, group 0, 0 before 1 at 1096, weight 1 at 1112.
  ;; include: about
  (data (i32.const 64) "\02")
  (data (i32.const 1024) (i32 0) (i32 1088 1) (i32 0 0))
  (data (i32.const 1088) (i64 1) (i32 0 0 1 0) (f64 1))
  (type $select
    (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
