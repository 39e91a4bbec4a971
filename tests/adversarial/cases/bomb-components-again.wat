;; beside: gate-answers
;; Ten instances a level would be 10 to the depth.
(component $a) (component (alias outer 1 $a (component $b)) (instance (instantiate $b)))
