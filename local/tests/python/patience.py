"""What a careful user of EC2 does: asks again, since what was just made isn't known everywhere yet, and may be known in one
moment and not in the next: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html

Throttles are for the clients themselves: they try again.
"""

import time

PATIENCE = 30


def is_unknown(error):
    """Whether it says that something isn't there, which has no code of its own for every kind."""
    return "NotFound" in str(error) or "does not exist" in str(error)


def until(attempt, may_fail=lambda error: isinstance(error, AssertionError) or is_unknown(error)):
    """What `attempt` returns, once it doesn't fail for something that isn't known yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except Exception as error:
            if not may_fail(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def patiently(call, **parameters):
    """A call that names what may be fresh; nothing is done as long as it isn't known."""
    return until(lambda: call(**parameters), is_unknown)
