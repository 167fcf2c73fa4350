#!/usr/bin/env python3
"""Compares what botocore reads of the account's answers with what the account says, over every action that it serves.

    pip install botocore
    cargo build -p ec2-local --example codec
    python3 local/model/check_account.py target/debug/examples/codec

Every request is written by botocore, every answer is read by it; it must come back as the account has given it. And every
filter that AWS's own documentation names is one that the account knows. It uses no network.
"""

import html
import pathlib
import re
import sys

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize

from check import VERSION, Codec, body, moment, plain

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests/python"))
from every_action import life


class Account:
    """The account behind the codec, as botocore sees it."""

    def __init__(self, codec):
        self.codec = codec
        loader = botocore.loaders.Loader()
        self.service = botocore.model.ServiceModel(loader.load_service_model("ec2", "service-2", VERSION))
        self.serializer = botocore.serialize.create_serializer("ec2", True)
        self.parser = botocore.parsers.create_parser("ec2")
        self.called = set()

    def ask(self, name, **parameters):
        """An answer as the codec has it."""
        request = self.serializer.serialize_to_request(parameters, self.service.operation_model(name))
        return self.codec.ask(call=body(request))

    def call(self, name, **parameters):
        """An answer as botocore has it, which is as the account has it."""
        answer = self.ask(name, **parameters)
        assert "document" in answer, (name, parameters, answer)
        shape = self.service.operation_model(name).output_shape
        parsed = self.parser.parse({"body": answer["document"].encode(), "headers": {}, "status_code": 200}, shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "the-id", answer
        held = moment(answer["output"])
        if shape and "Return" in shape.members:
            held.setdefault("Return", True)
        assert moment(plain(parsed)) == held, (name, parsed, held)
        self.called.add(name)
        return parsed


def documented_filters(operation):
    """The names in AWS's documentation; of tags, those for a key of some name."""
    members = operation.input_shape.members if operation.input_shape else {}
    text = members["Filters"].documentation if "Filters" in members else ""
    for name in re.findall(r"<li>\s*<p>\s*<code>([^<]+)</code>", text):
        name = html.unescape(name).strip()
        yield re.sub(r"<key>|:$", "", name) + ":x" if re.fullmatch(r"tag(:<key>|:)?", name) else name


def check_filters(account, actions):
    count = 0
    for action in actions:
        for name in documented_filters(account.service.operation_model(action)):
            answer = account.ask(action, Filters=[{"Name": name, "Values": ["x"]}])
            assert "document" in answer, (action, name, answer)
            count += 1
    assert count > 300, count
    return count


def main(path):
    codec = Codec(path)
    account = Account(codec)
    actions = set(codec.ask(actions=True)["actions"])
    life(account.call, lambda *_: None, lambda shape: account.service.shape_for(shape).enum)
    filters = check_filters(account, sorted(actions))
    codec.end()
    missed = actions - account.called
    assert not missed, f"nothing asks for {sorted(missed)}"
    print(f"{len(account.called)} actions and {filters} filters: no difference")


if __name__ == "__main__":
    main(*sys.argv[1:])
