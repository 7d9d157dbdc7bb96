// Reading a file whole.

import Glibc

/// The bytes of a file; `-` is standard input. At most 256 MiB.
func contents(of path: String) throws -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw Failure(
            "cannot read the file \(path.named): \(String(cString: strerror(errno)))", Code.notFound)
    }
    defer { if path != "-" { close(descriptor) } }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(descriptor, &piece, piece.count)
        if count < 0, errno == EINTR { continue }
        if count < 0 {
            throw Failure(
                "cannot read the file \(path.named): \(String(cString: strerror(errno)))", Code.notFound)
        }
        if count == 0 { return bytes }
        bytes += piece[..<count]
        if bytes.count > 1 << 28 {
            throw Failure("\(path.named) is larger than 256 MiB", Code.text)
        }
    }
}
