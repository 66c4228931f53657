(module (func (param (ref 150994943))))
(module (type (array (ref null 117440512))))
(module (func (block (type 4294967295))))
