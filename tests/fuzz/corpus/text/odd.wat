;; comment
(; block (; nested ;) ;)
(@annotation "x" (y) [z])
(module quote "\"")
