"""A racer in Python: racer.py HOME. See race.py."""

import sys
import threading
import time

import bursar

AGENTS = 25


def main() -> None:
    with bursar.open(sys.argv[1]) as rt:
        rt.price("dime", input="$0/M", output="$0/M", request=100_000_000)
        for line in sys.stdin:
            path, start = line.strip(), threading.Barrier(AGENTS + 1)
            admitted, refused = [], []

            def agent(session: bursar.Session) -> None:
                start.wait()
                d = session.reserve("dime", max_output_tokens=10)
                if not d:
                    refused.append(d)
                    return
                admitted.append(d)
                time.sleep(0.02)  # how long the model takes
                session.settle(d, input_tokens=0, output_tokens=10)

            sessions = [rt.session(path) for _ in range(AGENTS)]
            threads = [threading.Thread(target=agent, args=(s,)) for s in sessions]
            for thread in threads:
                thread.start()
            print("ready", flush=True)
            if not sys.stdin.readline():
                break
            start.wait()
            for thread, session in zip(threads, sessions):
                thread.join()
                session.close()
            print(len(admitted), len(refused), flush=True)


main()
