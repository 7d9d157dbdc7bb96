module github.com/bursar-dev/bursar/bindings/go

go 1.21
