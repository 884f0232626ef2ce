module unstructured-operator/tests/engines/forge

go 1.26.0

require (
	github.com/alicebob/miniredis/v2 v2.38.0
	github.com/google/go-containerregistry v0.21.6
)

require github.com/yuin/gopher-lua v1.1.1 // indirect
