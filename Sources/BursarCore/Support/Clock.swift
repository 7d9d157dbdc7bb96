// The two clocks. Deadlines, rates and the journal use the steady one; calendar
// windows and what people read use the unix one. A test may shift either.

internal import CPlatform
internal import Synchronization

/// Nanoseconds. `steady` never steps; `unix` may.
public struct Clock {
    /// Shifts for tests, at fixed addresses so that a test can move time while
    /// threads run: [steady, unix].
    let shifts: UnsafeMutableRawPointer

    @inline(__always)
    var steadyCoarse: Int64 { bursar__clock_steady_coarse() &+ Word(shifts).value }

    @inline(__always)
    var steady: Int64 { bursar__clock(BURSAR__CLOCK_STEADY) &+ Word(shifts).value }

    @inline(__always)
    var unix: Int64 { bursar__clock(BURSAR__CLOCK_UNIX) &+ Word(shifts + 8).value }

    public func shiftSteady(by nanos: Int64) { _ = Word(shifts).add(nanos) }
    public func shiftUnix(by nanos: Int64) { _ = Word(shifts + 8).add(nanos) }
}
