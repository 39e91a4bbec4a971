  ;; A curriculum without its function. The answer at 1024: ok, at 1032 a round: one draw at 1152
  ;; (prompt, images, weight at 1160), no replays (at 1048), temperature (1056), guidance (1064),
  ;; objective "dpo" (1072), epochs (1080), learning rate scale (1088), no state (1096).
  ;; include: about
  (data (i32.const 64) "\00")
  (data (i32.const 1024) (i64 0) (i64 0) (i32 1152 1) (i32 0 0) (f64 1 1) (i32 1136 3) (i32 1 0)
    (f64 1) (i32 0 0))
  (data (i32.const 1136) "dpo")
  (data (i32.const 1152) (i32 0 1) (f64 1))
