"""What Terraform's AWS provider does around each call: it looks for what it has made until it is there, takes a few codes alone
for the end of something, and waits for states.

Its order and its codes are those of https://github.com/hashicorp/terraform-provider-aws, internal/service/ec2.
"""

import json
import pathlib
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from patience import is_unknown, patiently, until

# As often as the provider tries a call by default.
ec2 = boto3.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 25}))
PATIENCE = 60


class Gone(Exception):
    """What was looked for isn't there: the provider takes it from its state."""


class Resource:
    """One resource of a configuration. What isn't overridden isn't done by the provider either."""

    # Whether a change is seen in what is read of it.
    changes = True

    def create(self):
        """Makes it, and waits as the provider does."""

    def read(self):
        """All that the provider reads of it; `Gone` where it isn't there."""
        raise NotImplementedError

    def change(self):
        """Changes what can be changed in place, and sees that it was."""
        self.changes = False

    def destroy(self):
        """Ends it, and waits until it isn't found any more."""

    def found(self):
        """Its description as EC2 gives it now; `Gone` where it isn't there."""
        raise NotImplementedError

    def seen(self):
        """Its description, waited for: what was seen once may not be seen the next time, while it is new."""
        return wait(self.found, lambda found: True)

    def __repr__(self):
        return type(self).__name__


def code_of(error):
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else None


def listed(call, member, codes=(), **parameters):
    """All that a describe finds, or none where it answers with one of these codes."""
    try:
        return call(**parameters)[member]
    except ClientError as error:
        if code_of(error) in codes:
            return []
        raise


def find(call, member, codes=(), **parameters):
    """The one thing that a describe finds."""
    found = listed(call, member, codes, **parameters)
    assert len(found) <= 1, found
    if not found:
        raise Gone(parameters)
    return found[0]


def filters(**values):
    """Filters by names that are no words of Python's: `_` stands for `-`, `__` for `.`."""
    return [{"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]} for name, value in values.items()]


def wait(look, reached, within=PATIENCE):
    """Looks until a state is reached; what isn't there yet is waited for, too."""
    def attempt():
        found = look()
        assert reached(found), found
        return found

    deadline = time.monotonic() + within
    while True:
        try:
            return attempt()
        except (Gone, AssertionError):
            if time.monotonic() > deadline:
                raise
        except ClientError as error:
            if not is_unknown(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def wait_gone(look, within=PATIENCE):
    """Looks until it isn't there; any other answer than the provider's codes is an error."""
    deadline = time.monotonic() + within
    while True:
        try:
            found = look()
        except Gone:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def delete(call, codes, while_codes=(), **parameters):
    """Deletes; one of the codes says that it isn't there, others that something is in the way for now."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call(**parameters)
        except ClientError as error:
            if code_of(error) in codes:
                return None
            if code_of(error) not in while_codes or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def tagged(kind, name):
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}, {"Key": "managed-by", "Value": "terraform"}]}]


def tags_of(found):
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", found.get("TagSet", []))}


def retag(resource, id):
    """As the provider updates tags: those that are gone first, then those that are new or other."""
    patiently(ec2.delete_tags, Resources=[id], Tags=[{"Key": "managed-by"}])
    patiently(ec2.create_tags, Resources=[id], Tags=[{"Key": "Name", "Value": "changed"}, {"Key": "stage", "Value": ""}])
    changed = {"Name": "changed", "stage": ""}
    wait(lambda: tags_of(resource.found()), lambda tags: changed.items() <= tags.items() and "managed-by" not in tags)


def holds(found, asked):
    """Whether what is found has all that was asked for: else the next plan would want to change it."""
    if isinstance(asked, dict):
        return isinstance(found, dict) and all(holds(found.get(name), value) for name, value in asked.items())
    if isinstance(asked, list):
        return isinstance(found, list) and len(found) == len(asked) and all(map(holds, found, asked))
    return found == asked


def plain(answer):
    """An answer without what is about the request."""
    answer = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    return json.loads(json.dumps(answer, default=str, sort_keys=True))
