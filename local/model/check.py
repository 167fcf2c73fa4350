#!/usr/bin/env python3
"""Compares the codec with botocore's own serializer and parser, over every operation of the table.

    pip install botocore
    cargo build -p ec2-local --example codec
    python3 local/model/check.py target/debug/examples/codec [rounds [seed]]

In each round, for each operation: an arbitrary input is written by botocore and read by us, and an arbitrary output is
written by us and read by botocore. Both must come back as they were. It uses no network.

What the messages are made of is the table's. Beside the botocore that the table was made from, it must be all that there is;
a newer one may know more, which is listed: whatever it knows, it must read what we say. An older one won't do.
"""

import base64
import datetime
import json
import random
import subprocess
import sys
import urllib.parse

import botocore
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize

import table
from regenerate import compact
from table import VERSION

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


class Model:
    """The model of the botocore that is installed, and the table as far as it is the same."""

    def __init__(self):
        self.table, made_from = table.read()
        model = botocore.loaders.Loader().load_service_model("ec2", "service-2", VERSION)
        self.service = botocore.model.ServiceModel(model)
        self.is_newer = botocore.__version__ != made_from
        print(f"botocore {botocore.__version__}; the table is of {made_from}")
        if release(botocore.__version__) < release(made_from):
            raise SystemExit(f"botocore is older than the table: install botocore {made_from}, or a newer one")
        more, otherwise = table.differences(self.table, compact(model))
        for line in more:
            print(f"  besides: {line}")
        for line in otherwise:
            print(f"  otherwise: {line}")
        if not self.is_newer and (more or otherwise):
            raise SystemExit("the table isn't what botocore's model says: run regenerate.py")

    def admit(self, what):
        """Something that we don't know, which only a newer model may."""
        assert self.is_newer, what
        print(f"  besides: {what}")


def release(version):
    return [int(part) for part in version.split(".")]


def arbitrary(known, reference, dice, filled=True):
    """A value of a shape; with `filled`, no structure or list of it is empty, since a request can't bear that."""
    shape = known.shape(reference)
    if "members" in shape:
        members = shape["members"]
        names = [name for name in members if dice.random() < 0.3]
        if filled and not names and members:
            names = [dice.choice(list(members))]
        names = dict.fromkeys(names + shape.get("required", []))
        return {name: arbitrary(known, members[name]["shape"], dice, filled) for name in names}
    if "list" in shape:
        element = shape["list"]["shape"]
        return [arbitrary(known, element, dice, filled) for _ in range(dice.randint(int(filled), 12))]
    kind = shape["type"]
    if kind == "string":
        return dice.choice(shape["enum"]) if "enum" in shape else "".join(dice.choices(CHARACTERS, k=dice.randint(0, 12)))
    if kind in ("integer", "long"):
        bits = 31 if kind == "integer" else 63
        low, high = shape.get("min", -(2**bits)), shape.get("max", 2**bits - 1)
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


def read(model, name, document):
    """An answer as botocore reads it, but for what it reads in a place where the table has nothing."""
    document = {"body": document.encode(), "headers": {}, "status_code": 200}
    parsed = botocore.parsers.create_parser("ec2").parse(document, model.service.operation_model(name).output_shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "the-id", document
    # EC2 says `return` in each answer that says nothing else, whether or not the model has it.
    if "Return" not in model.table.members(model.table.operations[name].get("output")):
        parsed.pop("Return", None)
    return parsed


def check_input(codec, model, name, dice):
    wanted = arbitrary(model.table, model.table.operations[name]["input"], dice)
    operation = model.service.operation_model(name)
    request = botocore.serialize.create_serializer("ec2", False).serialize_to_request(wanted, operation)
    answer = codec.ask(query=body(request))
    assert answer.get("action") == name, (name, wanted, answer)
    assert moment(answer["input"]) == moment(plain(wanted)), (name, wanted, answer)


def check_output(codec, model, name, dice):
    shape = model.table.operations[name].get("output")
    wanted = arbitrary(model.table, shape, dice, filled=False) if shape else {}
    answer = codec.ask(action=name, output=plain(wanted), request_id="the-id")
    assert "document" in answer, (name, wanted, answer)
    wanted = {**model.table.done(name), **wanted}
    parsed = read(model, name, answer["document"])
    assert parsed == wanted, (name, wanted, parsed)


def check_unknown(codec, name):
    answer = codec.ask(query=urllib.parse.urlencode({"Action": name, "Version": VERSION, "NoSuch": "x"}))
    assert answer["code"] == "UnknownParameter", answer


def main(path, rounds=20, seed=None):
    seed = random.randrange(2**32) if seed is None else int(seed)
    print(f"seed {seed}")
    dice = random.Random(seed)
    model = Model()
    codec = Codec(path)
    names = list(model.table.operations)
    for name in names:
        check_unknown(codec, name)
        for _ in range(int(rounds)):
            check_input(codec, model, name, dice)
            check_output(codec, model, name, dice)
    codec.end()
    print(f"{len(names)} operations, {2 * len(names) * int(rounds)} messages: no difference")


if __name__ == "__main__":
    main(*sys.argv[1:])
