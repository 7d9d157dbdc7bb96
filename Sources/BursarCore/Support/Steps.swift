// What ends a walk over lists of the segment that a damaged one made endless.

/// How many entries one walk may visit: more than any path and its lists have.
struct Steps {
    private var left: Int32 = 8_192

    @inline(__always)
    mutating func goOn() -> Bool {
        left &-= 1
        return left >= 0
    }
}
