"""How the threads that compute stand to the one that answers."""

import os
import sys
import threading

# Weighs 2/3 against the event loop, which then refuses at once, and hears of health, when there is
# more to compute than there are processors.
_NICENESS = 2


def give_way() -> None:
    """Let the event loop's thread go first. Linux alone has priorities of single threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
