;; component
(component)
