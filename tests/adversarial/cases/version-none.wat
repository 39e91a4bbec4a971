;; component
(component (import "sc:strategy/log" (instance)))
