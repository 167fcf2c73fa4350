"""The table that drives the codec, and what a model of another version knows besides."""

import json
import pathlib

VERSION = "2016-11-15"
PATH = pathlib.Path(__file__).with_name(f"ec2-{VERSION}.json")


class Table:
    """Operations and shapes, as `regenerate.py` lays them out: a scalar without an enum or a bound is its type alone."""

    def __init__(self, operations, shapes):
        self.operations = operations
        self.shapes = shapes

    def shape(self, reference):
        return self.shapes.get(reference, {"type": reference})

    def enum(self, name):
        return self.shapes[name]["enum"]

    def members(self, reference):
        """Those of a structure; none where an operation has no input or output."""
        return self.shape(reference).get("members", {}) if reference else {}


    def done(self, operation):
        """What an answer that sets no `Return` has there all the same: a boolean, or, for a few, its text; nothing where it has none."""
        member = self.members(self.operations[operation].get("output")).get("Return")
        if member is None:
            return {}
        return {"Return": "true" if self.shape(member["shape"])["type"] == "string" else True}


def read():
    """The table as it is kept, and the version of botocore whose model it was made from."""
    kept = json.loads(PATH.read_text())
    return Table(kept["operations"], kept["shapes"]), kept["source"].removeprefix("botocore ")


def differences(table, other):
    """What the other one has besides what the table has, and what it says otherwise: two lists of lines."""
    more, otherwise, seen = [], [], set()

    def compare(here, there, path):
        if (here, there) in seen:
            return
        seen.add((here, there))
        ours, theirs = table.shape(here), other.shape(there)
        members, others = ours.get("members", {}), theirs.get("members", {})
        for name in others.keys() - members.keys():
            more.append(f"{there}.{name}")
        for name, target in members.items():
            reach(target, others.get(name), f"{there}.{name}")
        if "list" in ours or "list" in theirs:
            reach(ours.get("list"), theirs.get("list"), f"{path}, its elements")
        values, others = set(ours.get("enum", [])), set(theirs.get("enum", []))
        # A string that has become an enum, or the other way around, is the same on the wire.
        if values and others - values:
            first, *rest = sorted(others - values)
            more.append(f"{there}: {first}" + (f", and {len(rest)} more" if rest else ""))
        if others and values - others:
            otherwise.append(f"{there} lacks {', '.join(sorted(values - others))}")
        for limit in ["type", "min", "max", "required"]:
            if ours.get(limit) != theirs.get(limit):
                otherwise.append(f"{path}: {limit} is {theirs.get(limit)}, not {ours.get(limit)}")

    def reach(here, there, path):
        if here is None or there is None:
            otherwise.append(f"{path} is missing")
            return
        if {**here, "shape": None} != {**there, "shape": None}:
            otherwise.append(f"{path} has another name on the wire")
        compare(here["shape"], there["shape"], path)

    for name, operation in table.operations.items():
        for end in ["input", "output"]:
            here, there = operation.get(end), other.operations[name].get(end)
            if here and there:
                compare(here, there, there)
            elif here:
                otherwise.append(f"{name} has no {end}")
            elif there and other.members(there):
                more.append(f"{name}: {there}")
    return sorted(more), sorted(otherwise)
