// What crosses the C boundary: sizes, texts, errors. Used by every file here.
//
// Structs begin with their size. An older, smaller one reads as zero where it
// ends; a newer, larger one is taken if what we do not know of it is zero.

internal import BursarCore
internal import CBursar

/// Copies a struct in; nil when its size is wrong.
@inline(__always)
func take<T>(_ p: UnsafePointer<T>, _ size: UInt32, minimum: UInt32 = 8) -> T? {
    let known = UInt32(MemoryLayout<T>.size)
    if size == known { return p.pointee }
    return takeOther(p, size, minimum: minimum)
}

@inline(never)
private func takeOther<T>(_ p: UnsafePointer<T>, _ size: UInt32, minimum: UInt32) -> T? {
    withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { copy in
        let to = UnsafeMutableRawBufferPointer(copy)
        return takeBytes(UnsafeRawPointer(p), size, minimum: minimum, to) ? copy[0] : nil
    }
}

@inline(never)
private func takeBytes(
    _ from: UnsafeRawPointer, _ size: UInt32, minimum: UInt32, _ to: UnsafeMutableRawBufferPointer
) -> Bool {
    // No header has a size that ends inside a field: half a pointer is none.
    if size < minimum || size > 65_536 || size % 8 != 0 { return false }
    for i in 0..<max(Int(size), to.count) {
        let byte = i < Int(size) ? from.load(fromByteOffset: i, as: UInt8.self) : 0
        if i < to.count { to[i] = byte } else if byte != 0 { return false }
    }
    return true
}

/// Copies a struct out, as much of it as the caller has room for; its size stays.
@inline(__always)
func give<T>(_ value: T, to p: UnsafeMutablePointer<T>, _ size: UInt32) -> bursar_status_t {
    if size == UInt32(MemoryLayout<T>.size) {
        p.pointee = value
        UnsafeMutableRawPointer(p).storeBytes(of: size, as: UInt32.self)
        return BURSAR_OK
    }
    return giveOther(value, to: p, size)
}

@inline(never)
private func giveOther<T>(
    _ value: T, to p: UnsafeMutablePointer<T>, _ size: UInt32
) -> bursar_status_t {
    withUnsafeBytes(of: value) { giveBytes($0, to: UnsafeMutableRawPointer(p), size) }
}

@inline(never)
private func giveBytes(
    _ from: UnsafeRawBufferPointer, to: UnsafeMutableRawPointer, _ size: UInt32
) -> bursar_status_t {
    if size < 8 || size > 65_536 { return BURSAR_E_SIZE }
    for i in 4..<Int(size) {
        to.storeBytes(of: i < from.count ? from[i] : 0, toByteOffset: i, as: UInt8.self)
    }
    return BURSAR_OK
}

// The header says which pointers are never NULL, and Swift believes it; C does
// not check it. So every function looks first.

@inline(__always)
func isNull(_ p: OpaquePointer) -> Bool { UInt(bitPattern: p) == 0 }

@inline(__always)
func isNull<T>(_ p: UnsafePointer<T>) -> Bool { UInt(bitPattern: p) == 0 }

@inline(__always)
func isNull<T>(_ p: UnsafeMutablePointer<T>) -> Bool { UInt(bitPattern: p) == 0 }

@inline(never)
func nullArgument(_ out: UnsafeMutablePointer<bursar_error_t>? = nil) -> bursar_status_t {
    fill(out, with: Failure(.invalid, "a runtime, text or out parameter that is needed is NULL"))
}

/// The first field of every struct.
@inline(__always)
func sizeField<T>(_ p: UnsafePointer<T>) -> UInt32 {
    UnsafeRawPointer(p).load(as: UInt32.self)
}

@inline(__always)
func sizeField<T>(_ p: UnsafeMutablePointer<T>) -> UInt32 {
    UnsafeRawPointer(p).load(as: UInt32.self)
}

@inline(__always)
func core(_ runtime: OpaquePointer) -> Core { Core(page: UnsafeMutableRawPointer(runtime)) }

/// The class behind a handle, when calls may go on.
func open(_ runtime: OpaquePointer) throws(Failure) -> Runtime {
    let core = core(runtime)
    if let status = core.obstacleToNew() { throw core.failure(status) }
    return core.runtime
}

/// The same for a look: also at what has lost its home's place.
func read(_ runtime: OpaquePointer) throws(Failure) -> Runtime {
    let core = core(runtime)
    if let status = core.obstacle() { throw core.failure(status) }
    return core.runtime
}

/// The same for what an agent may not do.
@inline(never)
func administer(_ runtime: OpaquePointer, _ what: StaticString) throws(Failure) -> Runtime {
    let runtime = try open(runtime)
    if let refusal = runtime.refusesAgent(what) { throw refusal }
    return runtime
}

/// Text as bytes; `most` bounds what anybody may pass.
func bytes(_ p: UnsafePointer<CChar>?, _ count: Int, most: Int = 65_536) throws(Failure) -> [UInt8] {
    if count == 0 { return [] }
    guard let p else { throw Failure(.invalid, "a text is NULL and its length is not 0") }
    if count < 0 || count > most { throw Failure(.invalid, "a text is longer than \(most) bytes") }
    return [UInt8](UnsafeRawBufferPointer(start: p, count: count))
}

@inline(never)
func bytes(_ text: bursar_text_t) throws(Failure) -> [UInt8] { try bytes(text.data, text.len) }

/// A length above what memory can have reads as none, which every reader refuses.
func buffer(_ p: UnsafePointer<CChar>, _ count: Int) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(
        start: UnsafeRawPointer(p).assumingMemoryBound(to: UInt8.self), count: max(count, 0))
}

/// Writes text out with a NUL where there is room; always reports the length.
func write(
    _ text: [UInt8], _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ length: UnsafeMutablePointer<Int>?
) -> bursar_status_t {
    length?.pointee = text.count
    guard let out, capacity > 0 else { return text.isEmpty ? BURSAR_OK : BURSAR_E_BUFFER }
    let count = min(text.count, capacity - 1)
    for i in 0..<count { out[i] = CChar(bitPattern: text[i]) }
    out[count] = 0
    return count == text.count ? BURSAR_OK : BURSAR_E_BUFFER
}

/// Runs `body`; a failure becomes a status, with its sentence where wanted.
@inline(never)
func answer(
    _ out: UnsafeMutablePointer<bursar_error_t>? = nil, _ body: () throws(Failure) -> Void
) -> bursar_status_t {
    do throws(Failure) {
        try body()
        return BURSAR_OK
    } catch {
        return fill(out, with: error)
    }
}

/// Writes a failure's details where the caller wants them.
@inline(never)
func fill(_ out: UnsafeMutablePointer<bursar_error_t>?, with failure: Failure) -> bursar_status_t {
    guard let out else { return failure.status.rawValue }
    let size = sizeField(out)
    if Int(size) < MemoryLayout<bursar_error_t>.size || size > 65_536 {
        return failure.status.rawValue
    }
    out.pointee.status = failure.status.rawValue
    out.pointee.line = failure.line
    out.pointee.column = failure.column
    out.pointee.id = failure.id
    out.pointee.values = failure.values
    withUnsafeMutableBytes(of: &out.pointee.message) { message in
        let count = min(failure.sentence.count, message.count - 1)
        for i in 0..<count { message[i] = failure.sentence[i] }
        message[count] = 0
        out.pointee.message_len = UInt32(count)
    }
    return failure.status.rawValue
}
