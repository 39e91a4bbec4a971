;; component
(component (import "sc:strategy/log@9.9.9" (instance)))
