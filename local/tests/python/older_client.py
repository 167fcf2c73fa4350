"""What libcloud sends, unmodified, at the endpoint that the environment names: it signs with version 2 by default, counts lists from
zero and leaves indexes out.

    eval "$(ec2-local env)"
    python3 older_client.py
"""

import os
import urllib.parse

from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider
from patience import until

ENDPOINT = urllib.parse.urlparse(os.environ["AWS_ENDPOINT_URL_EC2"])
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5"


def live(version):
    """A life of an instance by a signature of a version."""
    ec2 = get_driver(Provider.EC2)(
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        host=ENDPOINT.hostname,
        port=ENDPOINT.port,
        region="us-east-1",
        signature_version=version,
    )
    assert {zone.availability_zone.name for zone in ec2.list_locations()} >= {"us-east-1a"}
    name = f"libcloud-{version}"
    ec2.import_key_pair_from_string(name, KEY)
    until(lambda: ec2.get_key_pair(name), is_not_yet)
    image = next(image for image in ec2.list_images(ex_owner="amazon") if image.name == "blank")
    assert image.extra["owner_alias"] == "amazon" and ec2.list_images(ex_owner="self") == []
    size = next(size for size in ec2.list_sizes() if size.id == "t3.micro")
    node = ec2.create_node(name=name, size=size, image=image, ex_metadata={"for": "libcloud"})
    assert until(lambda: ec2.ex_create_tags(node, {"more": "tags"}), is_not_yet)
    assert until(lambda: ec2.ex_get_console_output(node), is_not_yet)["instance_id"] == node.id
    for act in [ec2.reboot_node, ec2.destroy_node]:
        assert until(lambda: act(node), is_not_yet)
    assert ec2.delete_key_pair(until(lambda: ec2.get_key_pair(name), is_not_yet))


def is_not_yet(error):
    """Whether what was made an instant ago isn't known everywhere, or an instance isn't on yet; libcloud has words of its own."""
    return any(word in f"{error!r} {error}" for word in ["NotFound", "DoesNotExist", "does not exist", "IncorrectInstanceState"])


for version in ["2", "4"]:
    live(version)
