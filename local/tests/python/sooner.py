"""botocore's waiters as they are, but for how long they wait between two looks: 15 s are too long for machines that boot in a tenth of one. It
is what botocore's own setting `AWS_DATA_PATH` is for, which names where models of one's own lie.
"""

import json
import os
import pathlib

from botocore.loaders import Loader

VERSION = "2016-11-15"


def look_sooner():
    """For this process and those that it starts; clients that are made afterwards."""
    waiters = Loader().load_service_model("ec2", "waiters-2", VERSION)
    for waiter in waiters["waiters"].values():
        waiter |= {"delay": 1, "maxAttempts": 300}
    place = pathlib.Path("models", "ec2", VERSION).absolute()
    place.mkdir(parents=True)
    (place / "waiters-2.json").write_text(json.dumps(waiters))
    os.environ["AWS_DATA_PATH"] = str(place.parent.parent)
