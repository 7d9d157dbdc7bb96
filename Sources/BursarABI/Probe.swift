public import CBursar
@c @implementation public func bursar_version_number() -> Int32 { 1000 }
