  ;; Goes on when the model has answered; refuses with the model's refusal else. (Before this, the
  ;; import `$ask`; the questions' list is that at 2048, the reply comes to 2112.)
  (func $ask_or_refuse (param $questions i32) (param $count i32) (result i32)
    (call $ask (local.get $questions) (local.get $count) (i32.const 2112))
    (if (result i32) (i32.load8_u (i32.const 2112))
      (then
        ;; The refusal's text, if it has one, becomes the answer's error.
        (i32.store (i32.const 1024) (i32.const 1))
        (i32.store (i32.const 1028) (i32.load (i32.const 2120)))
        (i32.store (i32.const 1032) (i32.load (i32.const 2124)))
        (if (i32.eqz (i32.load8_u (i32.const 2116)))
          (then
            (i32.store (i32.const 1028) (i32.const 2200))
            (i32.store (i32.const 1032) (i32.const 9))))
        (i32.const 1))
      (else (i32.const 0))))
  (data (i32.const 2200) "the quota")
