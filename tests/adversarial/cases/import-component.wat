;; component
(component (import "c" (component)))
