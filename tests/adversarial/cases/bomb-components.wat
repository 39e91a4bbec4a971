;; component
(component
;; repeat: 65 (component)
)
