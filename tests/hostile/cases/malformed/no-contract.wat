;; Exports no tool.
(component
  ;; @tools
)
