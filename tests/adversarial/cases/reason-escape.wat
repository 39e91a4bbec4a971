;; world: gate
;; What is refused with must not command the terminal.
(module
  ;; include: gate
  ;; include: decide
  (data (i32.const 1024) (i32 1 2048 30))
  (data (i32.const 2048) "\1b[2J\1b]0;owned\07\0d\0aerror: all is well"))
