// Tokens of an input from its bytes, learnt from what providers billed.
//
// An input is judged in one of three ways:
//
//   ratio   bytes x the model's rate for this kind of content
//   growth  what the conversation's last input was billed, and the bytes since x a rate
//   jump    another input in a known session: bytes x that session's own rate
//
// Each model and kind of content has two rates (running means of the last MEMORY inputs)
// and two widths (how far above the likely number the reserved one lies, in tokens for
// each byte judged): one for growth, one for the others. Where both could judge, the
// narrower does; that looks at bytes and widths only, never at which answer is lower.
//
// A width doubles when an input was more than what was reserved, and else loses a 576th,
// so that 399 hits undo one miss. Over n inputs therefore
//
//     misses <= n / 400 + log2(width at the end / width at the start)
//
// for each width, and they begin wide: no distribution is assumed. Since a byte has one token
// at most, a width above that counts for the frame only: context that the provider adds may
// make it large, and a long input still has the margin that its bytes can need. The bound holds
// while no input is billed at more than its bytes and a million tokens. This is quantile
// tracking (A. Gibbs, E. Candes: Adaptive conformal inference under distribution shift,
// 2021; A. Angelopoulos, E. Candes, R. Tibshirani: Conformal PID control, 2023), done on the
// logarithm of the width.
//
// Numbers are whole; rates and widths have 24 binary places. Memory is fixed, one mapping
// that is touched where it is used: 256 pairs of model and kind, and 16,384 conversations,
// of which the one unused for longest in its set of four makes room.

internal import CPlatform

/// What is asked of the estimator, and its answer; learning takes it back as it was.
public struct Estimate: Sendable {
    public var model: Int32 = 0
    public var session: Int64 = 0
    public var conversation: UInt64 = 0
    public var bytes: Int64 = 0
    /// Tokens at most of what is no text.
    public var fixedTokens: Int64 = 0
    public var kind: Int32 = 0
    // The answer.
    var way = Way.none
    /// Most of what is new in the input is no text: nothing is to be learnt from it.
    var isMedia = false
    /// The likely number.
    public var tokens: Int64 = 0
    /// What to reserve.
    public var tokensMax: Int64 = 0
    /// Bytes that were judged, for the rate's correction.
    public var span: Int64 = 0

    enum Way: UInt32 { case none, ratio, growth, jump }

    public init() {}

    /// Model, way and media in one word; 0 = not answered.
    public var basis: UInt32 {
        get { way == .none ? 0 : UInt32(model) << 4 | (isMedia ? 8 : 0) | way.rawValue }
        set {
            // Another model answers now, or a program made it up: it is judged again.
            let known = model > 0 && newValue >> 4 == UInt32(model) && span > 0
                && span <= 2 * Estimator.bytesMax && tokens >= 0 && tokens < 1 << 38
                && tokensMax >= tokens && tokensMax < 1 << 40
            way = known ? Way(rawValue: newValue & 7) ?? .none : .none
            isMedia = newValue & 8 != 0
        }
    }
}

/// Any method from any thread.
public final class Estimator: @unchecked Sendable {  // Sendable because of `lock`.
    static let one: Int64 = 1 << 24
    /// Bytes that a message's frame, and calls beside its text, may be worth.
    static let frame: Int64 = 256
    /// Bytes that an output token may be worth, when it comes back as input.
    static let outputBytes: Int64 = 4
    /// Inputs that a rate remembers.
    static let memory: Int64 = 16
    /// A width loses one part of so many with each hit.
    static let decay: Int64 = 576
    static let widthMax = 4_096 * one
    static let widthMin = one / 256
    /// Before anything is known: 3.2 bytes to a token, and a token to every second byte at
    /// most; of new bytes in a conversation, and of text beyond ASCII, to every byte.
    static let likely = one * 5 / 16
    static let dense = one / 2

    static let bytesMax: Int64 = 1 << 33
    static let tokensMax: Int64 = 1 << 31
    static let kindMax: Int32 = 255
    static let wide: Int32 = 1
    static let counted: Int32 = 3
    private static let modelMax: Int32 = 1 << 20

    /// A model and a kind; its histogram follows it (Estimator+Error.swift).
    struct Pair {
        var key: UInt32 = 0  // model and kind, 0 = none
        var seen: (UInt16, UInt16) = (0, 0)
        var rate: (Int64, Int64) = (0, 0)
        var width: (Int64, Int64) = (0, 0)
        var misses: Int64 = 0
        var billed: Int64 = 0
        var reserved: Int64 = 0
    }
    /// A conversation's last input.
    private struct Anchor {
        var key: UInt64 = 0  // 0 = none
        var bytes: Int64 = 0
        var tokens: UInt32 = 0
        var fixed: UInt32 = 0
        var output: UInt32 = 0
        var used: UInt32 = 0
    }

    static let pairs = 256
    static let pairBytes = 512
    private static let sets = 4_096
    private static let ways = 4
    static let bytes = pairs * pairBytes + sets * ways * 32

    let memory: UnsafeMutableRawPointer
    private let anchors: UnsafeMutablePointer<Anchor>
    let lock = StillLock()
    private var uses: UInt32 = 0  // guarded by lock, as the memory is

    init() throws(Failure) {
        guard let memory = bursar__map(Estimator.bytes) else {
            throw Failure(.memory, "no memory for estimates")
        }
        self.memory = memory
        anchors = (memory + Estimator.pairs * Estimator.pairBytes).assumingMemoryBound(to: Anchor.self)
    }

    deinit { bursar__unmap(memory, Estimator.bytes) }

    // MARK: - Calls

    /// Fills in the answer.
    public func estimate(_ asked: inout Estimate) throws(Failure) {
        try check(asked)
        lock.lock()
        defer { lock.unlock() }
        judge(&asked, pair(asked.model, asked.kind), anchor(asked, isNew: false))
    }

    /// What the provider billed for an input; `output`: for its answer.
    public func learn(_ asked: Estimate, input: Int64, output: Int64) throws(Failure) {
        try check(asked)
        guard input >= 0, output >= 0, input < Estimator.tokensMax, output < Estimator.tokensMax else {
            throw Failure(.invalid, "input_tokens and output_tokens are 0 to 2,147,483,647")
        }
        if input == 0 { return }
        lock.lock()
        defer { lock.unlock() }
        let pair = pair(asked.model, asked.kind)
        let anchor = anchor(asked, isNew: true)
        var asked = asked
        if asked.way == .none { judge(&asked, pair, anchor) }
        if !asked.isMedia {
            score(asked, input, pair)
            correct(asked, input, &pair.pointee)
        }
        guard let anchor else { return }
        anchor.pointee.bytes = scaled(asked)
        anchor.pointee.tokens = UInt32(input)
        anchor.pointee.fixed = UInt32(asked.fixedTokens)
        anchor.pointee.output = UInt32(output)
    }

    private func check(_ asked: Estimate) throws(Failure) {
        guard asked.model > 0, asked.model < Estimator.modelMax else {
            throw Failure(.notFound, "no such model; bursar_model_find() gives its number")
        }
        guard asked.kind >= 0, asked.kind <= Estimator.kindMax else {
            throw Failure(.invalid, "the kind of content is 0 to 255")
        }
        guard asked.bytes >= 0, asked.fixedTokens >= 0, asked.session >= 0,
            asked.bytes < Estimator.bytesMax / 4, asked.fixedTokens < Estimator.tokensMax
        else {
            throw Failure(
                .invalid, "bytes and fixed_tokens are 0 to 2,147,483,647, and a session is not negative")
        }
    }

    // MARK: - Judging. Under the lock.

    /// A tokenizer's count stands for the bytes that so many tokens have.
    private func scaled(_ asked: Estimate) -> Int64 {
        asked.kind == Estimator.counted ? asked.bytes * 4 : asked.bytes
    }

    private func judge(
        _ asked: inout Estimate, _ pair: UnsafeMutablePointer<Pair>, _ anchor: UnsafeMutablePointer<Anchor>?
    ) {
        let bytes = scaled(asked)
        var base: Int64 = 0
        var extra = asked.fixedTokens
        var rate = pair.pointee.rate.0
        var margin = margin(pair.pointee.width.0, bytes)
        var judged = bytes
        asked.span = bytes + Estimator.frame
        asked.way = .ratio
        if let last = anchor?.pointee, last.tokens > 0 {
            let grown = bytes - last.bytes
            let span = (grown < 0 ? -grown : grown) + Estimator.frame
            let ofGrowth = self.margin(
                pair.pointee.width.1, span - Estimator.frame + Estimator.outputBytes * Int64(last.output))
            if ofGrowth <= margin {
                asked.way = .growth
                margin = ofGrowth
                base = Int64(last.tokens)
                extra = max(extra - Int64(last.fixed), 0)
                rate = pair.pointee.rate.1
                judged = grown < 0 ? grown : span
                asked.span = span
            } else {
                asked.way = .jump
                let text = Int64(last.tokens) - Int64(last.fixed)
                if Int64(last.fixed) <= text / 4 {
                    let whole = text * Estimator.one + rate * Estimator.frame
                    rate = min(whole / (last.bytes + Estimator.frame), Estimator.one)
                }
            }
        }
        let likely = max((base + extra) * Estimator.one + rate * judged, 0)
        asked.tokens = (likely + Estimator.one / 2) / Estimator.one
        asked.tokensMax = (likely + margin + Estimator.one - 1) / Estimator.one
        asked.isMedia = extra * 4 > rate * asked.span / Estimator.one
    }

    /// How far above the likely number the reserved one lies.
    private func margin(_ width: Int64, _ bytes: Int64) -> Int64 {
        min(width, Estimator.one) * bytes + width * Estimator.frame
    }

    /// The first rate goes to the first inputs seen, then to the mean of the last ones.
    private func correct(_ asked: Estimate, _ input: Int64, _ pair: inout Pair) {
        if asked.way == .jump { return }
        let off = max(-Estimator.one, min(Estimator.one, (input - asked.tokens) * Estimator.one / asked.span))
        if asked.way == .growth {
            let seen = min(Int64(pair.seen.1) + 1, Estimator.memory)
            pair.seen.1 = UInt16(seen)
            pair.rate.1 = max(0, min(Estimator.one, pair.rate.1 + off / seen))
        } else {
            let seen = min(Int64(pair.seen.0) + 1, Estimator.memory)
            pair.seen.0 = UInt16(seen)
            pair.rate.0 = max(0, min(Estimator.one, pair.rate.0 + off / seen))
        }
    }

    private func score(_ asked: Estimate, _ input: Int64, _ pair: UnsafeMutablePointer<Pair>) {
        let isMiss = input > asked.tokensMax
        if asked.way == .growth {
            pair.pointee.width.1 = moved(pair.pointee.width.1, isMiss)
        } else {
            pair.pointee.width.0 = moved(pair.pointee.width.0, isMiss)
        }
        count(asked, input, pair)
    }

    private func moved(_ width: Int64, _ isMiss: Bool) -> Int64 {
        isMiss
            ? min(width * 2, Estimator.widthMax)
            : max(width - width / Estimator.decay, Estimator.widthMin)
    }

    // MARK: - Tables. Under the lock.

    func pair(at place: Int) -> UnsafeMutablePointer<Pair> {
        (memory + place * Estimator.pairBytes).assumingMemoryBound(to: Pair.self)
    }

    /// What is known of a model and kind. When the table is full others share a place.
    private func pair(_ model: Int32, _ kind: Int32) -> UnsafeMutablePointer<Pair> {
        let key = UInt32(model) << 8 | UInt32(kind)
        let home = Int(mixed(UInt64(key)) % UInt64(Estimator.pairs))
        for step in 0..<Estimator.pairs {
            let found = pair(at: (home + step) % Estimator.pairs)
            if found.pointee.key == key { return found }
            guard found.pointee.key == 0 else { continue }
            let most = kind == Estimator.wide ? Estimator.one : Estimator.dense
            // A count is near the truth: a quarter more is enough.
            let first = kind == Estimator.counted ? Estimator.one / 4 : Estimator.likely
            found.pointee.key = key
            found.pointee.rate = (first, first)
            found.pointee.width = (
                kind == Estimator.counted ? Estimator.one / 16 : most - first, Estimator.one - first
            )
            return found
        }
        return pair(at: home)
    }

    /// The last input of the conversation, or nil: it has none, or its session is none.
    private func anchor(_ asked: Estimate, isNew: Bool) -> UnsafeMutablePointer<Anchor>? {
        if asked.session == 0, asked.conversation == 0 { return nil }
        let key = max(
            1, mixed(mixed(UInt64(asked.session) ^ UInt64(asked.model) << 44) &+ asked.conversation))
        let set = anchors + Int(key % UInt64(Estimator.sets)) * Estimator.ways
        uses &+= 1
        var oldest = set
        for way in 0..<Estimator.ways {
            let found = set + way
            if found.pointee.key == key {
                found.pointee.used = uses
                return found
            }
            if uses &- found.pointee.used > uses &- oldest.pointee.used { oldest = found }
        }
        guard isNew else { return nil }
        oldest.pointee = Anchor(key: key, used: uses)
        return oldest
    }

    /// SplitMix64's last step.
    private func mixed(_ word: UInt64) -> UInt64 {
        var x = word &+ 0x9E37_79B9_7F4A_7C15
        x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
        return x ^ (x >> 31)
    }
}
