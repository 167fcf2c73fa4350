#!/usr/bin/env python3
"""Compares the codec with botocore's own serializer and parser, over every operation of the table.

    pip install botocore
    cargo build -p ec2-local --example codec
    python3 local/model/check.py target/debug/examples/codec [rounds [seed]]

In each round, for each operation: an arbitrary input is written by botocore and read by us, and an arbitrary output is
written by us and read by botocore. Both must come back as they were. It uses no network.
"""

import base64
import datetime
import json
import pathlib
import random
import subprocess
import sys
import urllib.parse

import botocore.awsrequest
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize

VERSION = "2016-11-15"
TABLE = pathlib.Path(__file__).with_name(f"ec2-{VERSION}.json")
CHARACTERS = "aZ0 <>&\"'\r\n\t=%+~é日\U0001f600"
UTC = datetime.timezone.utc


class Codec:
    """Our codec, behind a pipe."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question):
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def arbitrary(shape, dice, required_only=False, filled=True):
    """A value of a shape; with `filled`, no structure or list of it is empty, since a request can't bear that."""
    kind = shape.type_name
    if kind == "structure":
        names = [name for name in shape.members if dice.random() < 0.3]
        if filled and not names and shape.members:
            names = [dice.choice(list(shape.members))]
        names = list(dict.fromkeys(names + list(shape.required_members)))
        return {name: arbitrary(shape.members[name], dice, filled=filled) for name in names}
    if kind == "list":
        return [arbitrary(shape.member, dice, filled=filled) for _ in range(dice.randint(int(filled), 12))]
    if kind == "string":
        return dice.choice(shape.enum) if shape.enum else "".join(dice.choices(CHARACTERS, k=dice.randint(0, 12)))
    if kind in ("integer", "long"):
        bits = 31 if kind == "integer" else 63
        low = shape.metadata.get("min", -(2**bits))
        high = shape.metadata.get("max", 2**bits - 1)
        return dice.choice([low, high, dice.randint(low, high)])
    if kind in ("float", "double"):
        return dice.choice([0.5, -1.25, 1e9 + 0.5, 0.001])
    if kind == "boolean":
        return dice.random() < 0.5
    if kind == "timestamp":
        second = datetime.datetime.fromtimestamp(dice.randint(0, 2**32), UTC)
        return second if filled else second.replace(microsecond=dice.randint(0, 999) * 1000)
    assert kind == "blob", kind
    return dice.randbytes(dice.randint(0, 12))


def plain(value):
    """A value as the codec's JSON has it."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, datetime.datetime):
        value = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return {"$time": value.replace(".000000", "")}
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    return value


def moment(value):
    """The same with times compared as such, however many digits they are written with."""
    if isinstance(value, dict):
        if "$time" in value:
            return datetime.datetime.fromisoformat(value["$time"])
        return {name: moment(member) for name, member in value.items()}
    return [moment(element) for element in value] if isinstance(value, list) else value


def body(request):
    return urllib.parse.urlencode(request["body"])


def check_input(codec, operation, dice):
    wanted = arbitrary(operation.input_shape, dice)
    request = botocore.serialize.create_serializer("ec2", False).serialize_to_request(wanted, operation)
    answer = codec.ask(query=body(request))
    assert answer.get("action") == operation.name, (operation.name, wanted, answer)
    assert moment(answer["input"]) == moment(plain(wanted)), (operation.name, wanted, answer)


def check_output(codec, operation, dice):
    shape = operation.output_shape
    wanted = arbitrary(shape, dice, filled=False) if shape else {}
    answer = codec.ask(action=operation.name, output=plain(wanted), request_id="the-id")
    assert "document" in answer, (operation.name, wanted, answer)
    if shape and "Return" in shape.members:
        wanted.setdefault("Return", True)
    parsed = botocore.parsers.create_parser("ec2").parse(
        {"body": answer["document"].encode(), "headers": {}, "status_code": 200}, shape
    )
    assert parsed.pop("ResponseMetadata")["RequestId"] == "the-id", answer
    assert parsed == wanted, (operation.name, wanted, parsed)


def check_unknown(codec, operation):
    answer = codec.ask(query=urllib.parse.urlencode({"Action": operation.name, "Version": VERSION, "NoSuch": "x"}))
    assert answer["code"] == "UnknownParameter", answer


def main(path, rounds=20, seed=None):
    seed = random.randrange(2**32) if seed is None else int(seed)
    print(f"seed {seed}")
    dice = random.Random(seed)
    service = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("ec2", "service-2", VERSION))
    codec = Codec(path)
    names = list(json.loads(TABLE.read_text())["operations"])
    for name in names:
        operation = service.operation_model(name)
        check_unknown(codec, operation)
        for _ in range(int(rounds)):
            check_input(codec, operation, dice)
            check_output(codec, operation, dice)
    codec.end()
    print(f"{len(names)} operations, {2 * len(names) * int(rounds)} messages: no difference")


if __name__ == "__main__":
    main(*sys.argv[1:])
