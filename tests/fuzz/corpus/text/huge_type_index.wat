(module (type (func (result (ref 150994943)))) (func (param (ref null 4294967295))))
