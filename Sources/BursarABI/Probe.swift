public import CBursar
import BursarCore
import Synchronization
@c @implementation public func bursar_probe(_ n: Int64) -> Int64 {
    let t = Thing()
    let w = Word(mapped())
    return w.add(n) + Int64(t.f(3)) + mul(n, 77777)
}
