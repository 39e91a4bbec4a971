;; beside: gate-answers
(import "wasi:filesystem/preopens@0.2.0" (instance
  (export "get-directories" (func (result (list (tuple u32 string)))))))
