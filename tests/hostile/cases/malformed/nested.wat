;; Components inside one another, deeper than anybody writes them.
(component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component ))))))))))))))))))))
