"""A VPC of pycloudlib's, unmodified, with a machine in it, and how both end, at the endpoint that the environment names.

    eval "$(ec2-local env)"
    python3 pycloudlib_vpc.py
"""

import botocore.exceptions
import pycloudlib_way as way
from pycloudlib.errors import CloudError

ec2 = way.ec2


def launch(cloud, vpc):
    instance = cloud.launch(way.image(), vpc=vpc, username=way.USER)
    instance.wait()
    assert instance._instance.vpc_id == vpc.id
    assert instance.execute("hostname -I").split()[0].startswith("192.168."), instance.execute("hostname -I")
    added = instance.add_network_interface(ipv6_address_count=1)
    assert instance.execute("ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    instance.remove_network_interface(added)
    return instance


def end(cloud, vpc):
    """pycloudlib's way to end a VPC wants to delete its default group, which EC2 forbids: so it does here, and the rest is done by hand."""
    [complaint] = cloud.clean()
    assert isinstance(complaint, botocore.exceptions.ClientError), complaint
    assert complaint.response["Error"]["Code"] == "CannotDelete", complaint
    for group in vpc.vpc.security_groups.all():
        if group.group_name != "default":
            group.delete()
    for subnet in vpc.vpc.subnets.all():
        subnet.delete()
    for table in vpc.vpc.route_tables.all():
        if not any(association.main for association in table.associations):
            table.delete()
    for gateway in vpc.vpc.internet_gateways.all():
        gateway.detach_from_vpc(VpcId=vpc.id)
        gateway.delete()
    vpc.vpc.delete()


cloud = way.cloud("vpc")
cloud.upload_key("key.pub", "key", "vpc")
vpc = cloud.get_or_create_vpc("pycloudlib")
assert vpc.name == "pycloudlib" and cloud.get_or_create_vpc("pycloudlib").id == vpc.id
way.step("VPC")
try:
    cloud.get_or_create_vpc("too-small", ipv4_cidr="192.168.0.0/30")
except CloudError as refused:
    assert "InvalidVpc.Range" in str(refused), refused
else:
    raise AssertionError("not refused")
instance = launch(cloud, vpc)
way.step("launched")
end(cloud, vpc)
way.nothing_is_left()
way.step("nothing is left")
