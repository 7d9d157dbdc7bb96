module nightly

go 1.21

require github.com/bursar-dev/bursar/bindings/go v0.0.0

replace github.com/bursar-dev/bursar/bindings/go => ../../bindings/go
