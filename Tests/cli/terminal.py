"""A program on a terminal of its own, and what its screen shows: enough of ECMA-48 for the command."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time


class Screen:
    """A grid of characters that escape sequences move about on."""

    def __init__(self, columns, rows):
        self.resize(columns, rows)
        self.alternate = False
        self.cursor_shown = True
        self.pending = b""

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.styles = [[""] * columns for _ in range(rows)]
        self.x = self.y = 0
        self.style = ""

    def feed(self, data):
        data = self.pending + data
        self.pending = b""
        at = 0
        while at < len(data):
            byte = data[at : at + 1]
            if byte == b"\x1b":
                end = at + 2
                if data[at + 1 : at + 2] == b"[":
                    while end < len(data) and not 0x40 <= data[end] <= 0x7E:
                        end += 1
                if end >= len(data):
                    self.pending = data[at:]
                    return
                self.escape(data[at + 2 : end].decode(), chr(data[end]))
                at = end + 1
                continue
            if byte == b"\r":
                self.x = 0
            elif byte == b"\n":
                self.y += 1
                if self.y == self.rows:  # scrolls
                    self.y -= 1
                    self.cells = self.cells[1:] + [[" "] * self.columns]
                    self.styles = self.styles[1:] + [[""] * self.columns]
            else:
                size = 1 if byte < b"\x80" else 2 if byte < b"\xe0" else 3 if byte < b"\xf0" else 4
                if at + size > len(data):
                    self.pending = data[at:]
                    return
                if self.x < self.columns:
                    self.cells[self.y][self.x] = data[at : at + size].decode()
                    self.styles[self.y][self.x] = self.style
                    self.x += 1
                at += size
                continue
            at += 1

    def escape(self, arguments, final):
        if final == "H":
            self.x = self.y = 0
        elif final == "K":
            self.cells[self.y][self.x :] = [" "] * (self.columns - self.x)
        elif final == "J":
            first = 0 if arguments == "2" else self.y + 1
            for y in range(first, self.rows):
                self.cells[y] = [" "] * self.columns
            if arguments != "2":
                self.cells[self.y][self.x :] = [" "] * (self.columns - self.x)
        elif final == "m":
            self.style = "" if arguments in ("", "0") else arguments
        elif final in "hl" and arguments == "?1049":
            self.alternate = final == "h"
        elif final in "hl" and arguments == "?25":
            self.cursor_shown = final == "h"

    @property
    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def styled(self, style):
        """The text that is shown in a style, line by line."""
        lines = ("".join(c for c, s in zip(*pair) if s == style).rstrip() for pair in zip(self.cells, self.styles))
        return [line for line in lines if line]


class Terminal:
    def __init__(self, arguments, env, cwd, columns=120, rows=24):
        self.screen = Screen(columns, rows)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            while os.get_terminal_size(0).columns != columns:  # until the parent has said it
                time.sleep(0.01)
            os.execvpe(arguments[0], arguments, {**env, "TERM": "xterm-256color"})
        self.status = None
        self.resize(columns, rows)

    @property
    def modes(self):
        return termios.tcgetattr(self.fd)

    def resize(self, columns, rows):
        self.screen.resize(columns, rows)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, condition, seconds=20):
        """Reads until the screen is as wanted: its text."""
        deadline = time.monotonic() + seconds
        while not condition(self.screen.text):
            if not self.read(deadline - time.monotonic()):
                raise AssertionError("the screen never was as wanted:\n" + self.screen.text)
        return self.screen.text

    def shows(self, *words):
        return self.until(lambda text: all(word in text for word in words))

    def read(self, seconds):
        if seconds <= 0 or not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            return False
        self.screen.feed(data)
        return bool(data)

    def end(self, seconds=20):
        """Its exit code, as the shell has it, when it has ended."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise AssertionError("it does not end:\n" + self.screen.text)
            else:
                self.read(0.05)
        while self.read(0.05):
            pass
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
