  ;; What every strategy says of itself, at 128: name, version, summary, authors, licence, roles (at
  ;; 64), services, parameters. A row may write over any of it.
  (data (i32.const 16) "row")
  (data (i32.const 24) "1.0")
  (data (i32.const 32) "misbehaves")
  (data (i32.const 128)
    (i32 16 3) (i32 24 3) (i32 32 10) (i32 0 0) (i32 0 0) (i32 64 1) (i32 0 0) (i32 0 0))
