#!/usr/bin/env python3
"""Compares what botocore reads of the account's answers with what the account says, over every action that it serves.

    pip install botocore
    cargo build -p ec2-local --example codec
    python3 local/model/check_account.py target/debug/examples/codec

Every request is written by botocore, every answer is read by it; it must come back as the account has given it. And every
filter that AWS's own documentation names is one that the account knows; those that only a newer botocore names are listed. It
uses no network.
"""

import html
import pathlib
import re
import sys

import botocore.serialize

from check import Codec, Model, body, moment, plain, read

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests/python"))
from every_action import FEW, REFUSED, life


class Account:
    """The account behind the codec, as botocore sees it."""

    def __init__(self, codec, model):
        self.codec = codec
        self.model = model
        self.serializer = botocore.serialize.create_serializer("ec2", True)
        self.called = set()

    def ask(self, name, **parameters):
        """An answer as the codec has it."""
        request = self.serializer.serialize_to_request(parameters, self.model.service.operation_model(name))
        return self.codec.ask(call=body(request))

    def call(self, name, **parameters):
        """An answer as botocore has it, which is as the account has it."""
        answer = self.ask(name, **parameters)
        assert "document" in answer, (name, parameters, answer)
        parsed = read(self.model, name, answer["document"])
        held = moment(answer["output"])
        held = {**self.model.table.done(name), **held}
        assert moment(plain(parsed)) == held, (name, parsed, held)
        self.called.add(name)
        return parsed


def documented_filters(operation):
    """The names in AWS's documentation; of tags, those for a key of some name."""
    members = operation.input_shape.members if operation.input_shape else {}
    text = members["Filters"].documentation if "Filters" in members else ""
    depth = 0
    for tag, name in re.findall(r"<(/?ul|li)>(?:\s*<p>\s*<code>([^<]+)</code>)?", text):
        depth += {"ul": 1, "/ul": -1}.get(tag, 0)
        name = html.unescape(name).strip()
        # Deeper ones are of a filter's values.
        if not name or depth > 1:
            continue
        yield re.sub(r"<key>|:$", "", name) + ":x" if re.fullmatch(r"tag(:<key>|:)?", name) else name


def check_filters(account, actions):
    count = 0
    [subnet, *_] = account.call("DescribeSubnets")["Subnets"]
    for action in actions:
        # What must be said beside filters.
        said = {member: value for member, value in FEW.get(action, {}).items() if member != "Filters"}
        shape = account.model.service.operation_model(action).input_shape
        said |= {member: subnet[member] for member in (shape.required_members if shape else []) if member in subnet}
        for name in documented_filters(account.model.service.operation_model(action)):
            answer = account.ask(action, Filters=[{"Name": name, "Values": ["x"]}], **said)
            if "document" in answer:
                count += 1
            else:
                account.model.admit(f"{action}, filter {name}: {answer}")
    assert count > 300, count
    return count


def main(path):
    codec = Codec(path)
    model = Model()
    account = Account(codec, model)
    actions = set(codec.ask(actions=True)["actions"])
    life(account.call, lambda *_: None)
    filters = check_filters(account, sorted(actions))
    codec.end()
    missed = actions - account.called - REFUSED
    assert not missed, f"nothing asks for {sorted(missed)}"
    print(f"{len(account.called)} actions and {filters} filters: no difference")


if __name__ == "__main__":
    main(*sys.argv[1:])
