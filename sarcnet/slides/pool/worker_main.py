"""The process that works for `sarcnet.slides.pool.crash_safe`: tasks come in by standard input, answers leave by standard
output, both pickled. What a library prints goes to standard error, so that nothing gets between the answers.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys


def main() -> None:
    """Work until the parent closes the pipe, also when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted parent closes the pipe; that is enough
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tasks = sys.stdin.buffer
    while True:
        try:
            function, arguments = pickle.load(tasks)
        except EOFError:
            return
        try:
            answer = (True, function(*arguments))
        except Exception as error:
            answer = (False, error)  # raised again in the parent
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
